"""What workers count: each in its own status file, which the metrics of one worker or of many are read from.

The file is all that a worker says of itself. A worker serves the metrics of its own status, the supervisor those of all
its workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from olist.atomic import write_atomically
from olist.errors import BadRecord
from olist.telemetry import APP_CPU, APP_DEAD_LETTERS, APP_EVENTS, APP_FRESHNESS, APP_LAG, APP_ROWS, APP_STANDING

WorkerPhase = Literal["starting", "recovering", "running", "stopping", "failed"]
COUNTERS = {"events": APP_EVENTS, "rows": APP_ROWS, "cpu": APP_CPU, "dead letters": APP_DEAD_LETTERS}

Count = tuple[str, str]
"""A counter's name, and its second label or nothing."""


class Status(msgspec.Struct):
    """The status file: written whole, each second, by rename. Counts are since the process began."""

    app: str
    group: str
    pid: int = msgspec.field(default_factory=os.getpid)
    phase: WorkerPhase = "starting"
    at_s: float = 0.0  # wall time of this writing
    partitions: list[int] = []
    lag: int | None = None  # records behind, of the partitions owned; None: not known yet
    events: int = 0
    rows: int = 0
    dead_letters: dict[str, int] = {}  # by stage
    standing: dict[str, int] = {}  # rows that stand, by kind, of the partitions owned
    cpu_s: float = 0.0  # of all threads
    states: int = 0
    last_event_us: int | None = None  # commit time at the source of the newest change processed
    clock_us: int | None = None
    error: str = ""


@dataclass
class StatusFile:
    """A worker's status as it grows, and its file, if it has one."""

    status: Status
    path: Path | None
    newest_us: int = 0
    _began_cpu_s: float = field(default_factory=time.process_time)

    def count_change(self, committed_us: int) -> None:
        """A change was processed."""
        self.status.events += 1
        if committed_us > self.newest_us:
            self.newest_us = committed_us

    def count_rows(self, rows: int) -> None:
        """Rows were written or deleted."""
        self.status.rows += rows

    def count_dead_letter(self, error: BadRecord) -> None:
        """A record went to the dead letters."""
        dead_letters = self.status.dead_letters
        dead_letters[error.stage] = dead_letters.get(error.stage, 0) + 1

    def set_standing(self, rows: Mapping[str, int]) -> None:
        """Rows that stand, by kind; a kind that is not named has none left."""
        self.status.standing = {kind: number for kind, number in rows.items() if number}

    def publish(self) -> None:
        """Bring the status and its file up to date."""
        status = self.status
        status.at_s, status.last_event_us = time.time(), self.newest_us or None
        status.cpu_s = time.process_time() - self._began_cpu_s
        if self.path is not None:
            write_atomically(self.path, msgspec.json.encode(status))


@dataclass
class WorkerMetrics:
    """One app's metrics. Counters go on when a worker is followed by another, whose own counts begin at nothing."""

    app: str
    _counted: dict[int, dict[Count, float]] = field(default_factory=dict)  # by pid
    _kinds: set[str] = field(default_factory=set)

    def show(self, workers: Sequence[Status]) -> None:
        """Bring the metrics up to the statuses of the app's workers; without any, counters stay as they are."""
        for status in workers:
            self._count(status)
        self._counted = {status.pid: self._counted[status.pid] for status in workers}
        self._show_standing(workers)
        if lags := [status.lag for status in workers if status.lag is not None]:
            APP_LAG.labels(self.app).set(sum(lags))
        if newest := [status.last_event_us for status in workers if status.last_event_us is not None]:
            APP_FRESHNESS.labels(self.app).set(time.time() - max(newest) / 1e6)

    def _count(self, status: Status) -> None:
        now = _counts(status)
        before = self._counted.get(status.pid, {})
        for (name, label), count in now.items():
            more = count - before.get((name, label), 0.0)
            COUNTERS[name].labels(self.app, *([label] if label else [])).inc(more)
        self._counted[status.pid] = now

    def _show_standing(self, workers: Sequence[Status]) -> None:
        self._kinds |= {kind for status in workers for kind in status.standing}
        for kind in self._kinds:
            APP_STANDING.labels(self.app, kind).set(sum(status.standing.get(kind, 0) for status in workers))


def _counts(status: Status) -> dict[Count, float]:
    dead_letters = {("dead letters", stage): float(number) for stage, number in status.dead_letters.items()}
    return {("events", ""): status.events, ("rows", ""): status.rows, ("cpu", ""): status.cpu_s, **dead_letters}
