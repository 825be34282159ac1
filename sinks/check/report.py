"""What a check found, as data: for tests, the demo, the table on a terminal and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sinks.check.differences import Difference
from sinks.check.digest import Count, DayDifference

State = Literal["equal", "different", "absent", "broken", "behind", "moving", "unreachable"]

# What makes a check fail, and what keeps it from telling.
WRONG: tuple[State, ...] = ("different", "absent", "broken")
UNKNOWN: tuple[State, ...] = ("behind", "moving", "unreachable")

EXIT_EQUAL, EXIT_DIFFERENT, EXIT_UNKNOWN = 0, 1, 3  # 2 is a command line that was not understood


NOTHING = Count()


@dataclass(frozen=True)
class Finding:
    """One table in one target (or in the files), held against the topic as far as the target's positions say.

    State: ``equal`` and caught up; ``different``; ``absent``: no such table; ``broken``: it cannot be read as the
    contract's rows, or holds positions of another topic; ``behind``: equal as far as it stands, `lag` offsets short of
    the end; ``moving``: written while it was read; ``unreachable``.
    """

    target: str
    state: State
    expected: Count = NOTHING
    found: Count = NOTHING
    lag: int = 0
    refused: tuple[str, ...] = ()  # records that only this target refused, with reasons
    days: tuple[DayDifference, ...] = ()
    differences: tuple[Difference, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class TableReport:
    """One table: the topic's live rows, and what was found in each target."""

    table: str
    topic: str
    live: Count
    records: int
    undecodable: tuple[str, ...]
    unknown: tuple[str, ...]
    findings: tuple[Finding, ...]


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
        """Whether every target was compared, and holds exactly what the topics say."""
        return bool(self.findings) and all(finding.state == "equal" for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 all equal; 1 a difference; 3 no difference seen, but something could not be compared to the end."""
        if self.equal:
            return EXIT_EQUAL
        return EXIT_DIFFERENT if any(finding.state in WRONG for finding in self.findings) else EXIT_UNKNOWN
