"""What the worker counts of itself, for its status file.

The file is all that it tells: whoever serves metrics reads them from statuses (`serving.Served`), the worker its own,
the keeper those of its workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from olist.atomic import write_atomically
from olist.errors import BadRecord

Phase = Literal["starting", "recovering", "running", "stopping", "failed"]


class Status(msgspec.Struct):
    """The status file: written whole, each second, by rename. Counts are since the process began."""

    app: str
    group: str
    pid: int = msgspec.field(default_factory=os.getpid)
    phase: Phase = "starting"
    at_s: float = 0.0  # wall time of this writing
    partitions: list[int] = []
    lag: int | None = None  # records behind, of the partitions held; None: not known yet
    events: int = 0
    rows: int = 0
    dead_letters: dict[str, int] = {}  # by stage
    standing: dict[str, int] = {}  # rows that stand, by kind, of the partitions held
    cpu_s: float = 0.0  # of all threads
    states: int = 0
    last_event_us: int | None = None  # commit time at the source of the newest change taken
    clock_us: int | None = None
    error: str = ""


@dataclass
class Told:
    """Counts, as they come."""

    status: Status
    path: Path | None
    newest_us: int = 0
    _began_cpu_s: float = field(default_factory=time.process_time)

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
        self.status.standing = {kind: number for kind, number in rows.items() if number}

    def refused(self, error: BadRecord) -> None:
        """A record that went to the dead letters."""
        letters = self.status.dead_letters
        letters[error.stage] = letters.get(error.stage, 0) + 1

    def publish(self) -> None:
        """Bring the status and its file up to date."""
        status = self.status
        status.at_s, status.last_event_us = time.time(), self.newest_us or None
        status.cpu_s = time.process_time() - self._began_cpu_s
        if self.path is not None:
            write_atomically(self.path, msgspec.json.encode(status))
