"""What the worker counts of itself, in the metrics and for its status file."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from olist.errors import BadRecord
from olist.telemetry import APP_CPU, APP_DEAD_LETTERS, APP_EVENTS, APP_FRESHNESS, APP_LAG, APP_ROWS, APP_STANDING

Phase = Literal["starting", "recovering", "running", "stopping", "failed"]


class Status(msgspec.Struct):
    """The status file: written whole, each second, by rename."""

    app: str
    group: str
    pid: int = msgspec.field(default_factory=os.getpid)
    phase: Phase = "starting"
    at_s: float = 0.0  # wall time of this writing
    partitions: list[int] = []
    lag: int | None = None  # records behind, of the partitions held; None: not known yet
    events: int = 0
    rows: int = 0
    dead_letters: int = 0
    states: int = 0
    last_event_us: int | None = None  # commit time at the source of the newest change taken
    clock_us: int | None = None
    error: str = ""


@dataclass
class Told:
    """Counts, as they come."""

    app: str
    status: Status
    path: Path | None
    newest_us: int = 0
    _cpu_s: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        self._events, self._rows = APP_EVENTS.labels(self.app), APP_ROWS.labels(self.app)
        self._told_events = self._told_rows = 0
        self._kinds: set[str] = set()

    def took(self, committed_us: int) -> None:
        """A change."""
        self.status.events += 1
        if committed_us > self.newest_us:
            self.newest_us = committed_us

    def wrote(self, rows: int) -> None:
        """Rows."""
        self.status.rows += rows

    def stand(self, rows: Mapping[str, int]) -> None:
        """Rows that stand by kind; a kind that is not named has none left."""
        for kind in self._kinds - rows.keys():
            APP_STANDING.labels(self.app, kind).set(0)
        for kind, number in rows.items():
            APP_STANDING.labels(self.app, kind).set(number)
        self._kinds |= rows.keys()

    def refused(self, error: BadRecord) -> None:
        """A record that went to the dead letters."""
        self.status.dead_letters += 1
        APP_DEAD_LETTERS.labels(self.app, error.stage).inc()

    def publish(self) -> None:
        """Bring metrics and the status file up to date."""
        now_s, cpu_s = time.time(), time.process_time()
        status = self.status
        self._events.inc(status.events - self._told_events)
        self._rows.inc(status.rows - self._told_rows)
        self._told_events, self._told_rows = status.events, status.rows
        APP_CPU.labels(self.app).inc(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s
        status.at_s, status.last_event_us = now_s, self.newest_us or None
        if self.newest_us:
            APP_FRESHNESS.labels(self.app).set(now_s - self.newest_us / 1e6)
        if status.lag is not None:
            APP_LAG.labels(self.app).set(status.lag)
        if self.path is not None:
            beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
            beside.write_bytes(msgspec.json.encode(status))
            beside.replace(self.path)
