"""What a soak of the compactor saw, judged: figures per minute, and whether the table grew meanwhile. Pure.

A table that compaction keeps up with is in the last third of the time what it was in the first. `MOST_GROWTH` leaves
room for the noise of a machine that other work shares; a table that grows without a bound passes it within minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import TypeVar

import msgspec

from benchmarks.timed_lake import Commit
from compaction.report import Report
from tests.hot_orders import Sample

MOST_GROWTH = 1.5  # of the last third over the first: the most files seen, and the median commit
MINUTE_S = 60.0

T = TypeVar("T")


@dataclass
class Seen:
    """What was seen from one moment (`time.monotonic`) to another."""

    from_s: float
    until_s: float
    samples: list[tuple[float, Sample]] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    changes: int = 0


class Minute(msgspec.Struct):
    """The orders' current rows within one minute: most files and snapshots, and the sink's commits to them."""

    most_data_files: int
    most_delete_files: int
    most_snapshots: int
    commits: int
    commit_ms_p50: float | None
    commit_ms_p99: float | None


class Soaked(msgspec.Struct):
    """A soak's outcome.

    `runs` are of both lake tables, `runs_that_committed` those among them that found something to rewrite and `commits`
    what they landed. `files_growth` and `commit_growth` say how many times as much the last third had as the first.
    `unequal` is what the comparisons with the topic found: nothing, if all is well.
    """

    minutes: list[Minute]
    changes: int
    runs: int
    runs_that_committed: int
    commits: int
    conflicts: int
    translated: int
    lost: int
    deleted_files: int
    run_s_median: float | None
    run_s_p95: float | None
    files_growth: float | None
    commit_growth: float | None
    unequal: list[str]
    processes_ended: list[str]

    @property
    def is_well(self) -> bool:
        """Nothing wrong, nothing lost, no growth; and enough was seen to say so."""
        grown = [growth is None or growth > MOST_GROWTH for growth in (self.files_growth, self.commit_growth)]
        return not (self.unequal or self.processes_ended or self.lost or any(grown))


def soaked(seen: Seen, commits: Sequence[Commit], reports: Sequence[Report]) -> Soaked:
    """The outcome, from what was seen, the sink's commits to the current rows and the compactor's reports."""
    files = [(at_s, float(sample.data_files + sample.delete_files)) for at_s, sample in seen.samples]
    took_ms = [(commit.at_s, commit.took_ms) for commit in commits]
    seconds = [report.seconds for report in reports]
    return Soaked(
        minutes=minutes(seen, took_ms),
        changes=seen.changes,
        runs=len(reports),
        runs_that_committed=sum(report.commits > 0 for report in reports),
        commits=sum(report.commits for report in reports),
        conflicts=sum(report.conflicts for report in reports),
        translated=sum(report.translated for report in reports),
        lost=sum(report.lost for report in reports),
        deleted_files=sum(report.deleted_files for report in reports),
        run_s_median=percentile(seconds, 0.5),
        run_s_p95=percentile(seconds, 0.95),
        files_growth=growth(*(max(third, default=None) for third in thirds(files, seen))),
        commit_growth=growth(*(percentile(third, 0.5) for third in thirds(took_ms, seen))),
        unequal=seen.unequal,
        processes_ended=seen.ended,
    )


def minutes(seen: Seen, took_ms: Sequence[tuple[float, float]]) -> list[Minute]:
    """One summary per minute, or what there is of the last."""
    count = ceil((seen.until_s - seen.from_s) / MINUTE_S)
    starts = [seen.from_s + number * MINUTE_S for number in range(count)]
    spans = [(start, min(start + MINUTE_S, seen.until_s)) for start in starts]
    return [_minute(within(seen.samples, *span), within(took_ms, *span)) for span in spans]


def _minute(samples: Sequence[Sample], took_ms: Sequence[float]) -> Minute:
    return Minute(
        max((s.data_files for s in samples), default=0),
        max((s.delete_files for s in samples), default=0),
        max((s.snapshots for s in samples), default=0),
        len(took_ms),
        percentile(took_ms, 0.5),
        percentile(took_ms, 0.99),
    )


def thirds(values: Sequence[tuple[float, T]], seen: Seen) -> tuple[list[T], list[T]]:
    """The values of the first third of the time, and of the last."""
    third_s = (seen.until_s - seen.from_s) / 3
    return within(values, seen.from_s, seen.from_s + third_s), within(values, seen.until_s - third_s, seen.until_s)


def within(values: Sequence[tuple[float, T]], start_s: float, end_s: float) -> list[T]:
    """The values of a stretch of time."""
    return [value for at_s, value in values if start_s <= at_s < end_s]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The least value that this share of the values does not exceed; None of no values."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)] if values else None


def growth(first: float | None, last: float | None) -> float | None:
    """How many times the first is the last; None where one of them was not seen."""
    return round(last / first, 2) if first and last is not None else None
