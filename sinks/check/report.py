"""What a check found, as data: for tests, the demo, the table on a terminal and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sinks.check.digest import Count, DayDifference
from sinks.check.explanation import Difference

State = Literal["equal", "different", "absent", "broken", "behind", "moving", "stalled", "unreachable"]

# What makes a check fail, and what keeps it from telling.
WRONG: tuple[State, ...] = ("different", "absent", "broken")
UNKNOWN: tuple[State, ...] = ("behind", "moving", "stalled", "unreachable")

# 2 is a command line that was not understood.
EXIT_EQUAL, EXIT_DIFFERENT, EXIT_UNKNOWN, EXIT_REFUSED = 0, 1, 3, 4

NOTHING = Count()
TOPIC, HISTORY = "topic", "history"  # beside the targets: the topic itself, and the lake's history


@dataclass(frozen=True)
class Finding:
    """One table in one target (or in the files, or its history), held against the topic as far as its positions say.

    State: ``equal`` and caught up; ``different``; ``absent``: no such table; ``broken``: it cannot be read as the
    contract's rows, holds positions of another topic, or (of the topic) changes are removed from it; ``behind``: equal
    as far as it stands, `lag` offsets short of the end; ``moving``: rows newer than the positions; ``stalled``: a
    transaction on the topic stays open, and no reader gets past it; ``unreachable``.
    """

    target: str
    state: State
    expected: Count = NOTHING
    found: Count = NOTHING
    lag: int = 0
    refused: tuple[str, ...] = ()  # the first records that only this target refused, with reasons
    days: tuple[DayDifference, ...] = ()
    differences: tuple[Difference, ...] = ()
    note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)  # differing keys by kind, and defects by kind
    defects: tuple[str, ...] = ()  # the first of what is wrong beside the rows' values, in words
    refused_rows: int = 0  # keys whose last change no reader or this target refused
    unjudged: int = 0  # keys of which the topic no longer says what the target should hold


@dataclass(frozen=True)
class TableReport:
    """One table: the topic's live rows, and what was found in each target."""

    table: str
    topic: str
    live: Count
    records: int
    undecodable: tuple[str, ...]  # the first of them
    unknown: tuple[str, ...]
    findings: tuple[Finding, ...]
    undecodable_records: int = 0
    notes: tuple[str, ...] = ()  # of the topic; no failure


@dataclass(frozen=True)
class Report:
    """The whole check."""

    tables: tuple[TableReport, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All tables' findings."""
        return tuple(finding for table in self.tables for finding in table.findings)

    @property
    def equal(self) -> bool:
        """Whether every target was compared, and holds exactly what the topics say and it takes."""
        return bool(self.findings) and all(finding.state == "equal" for finding in self.findings)

    @property
    def refused_rows(self) -> int:
        """Rows whose last change is missing because it was refused, over all tables and targets."""
        return sum(finding.refused_rows for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all equal; 1 a difference; 3 none seen, but something could not be compared to the end; 4 rows refused."""
        if self.equal:
            return EXIT_REFUSED if self.refused_rows else EXIT_EQUAL
        return EXIT_DIFFERENT if any(finding.state in WRONG for finding in self.findings) else EXIT_UNKNOWN
