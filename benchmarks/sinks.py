"""What a sink costs per change: CPU time of its process, by stage, over a topic that is already written."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from benchmarks.carry import Carried
from benchmarks.topic import Written
from olist.settings import Settings

POLL = 50_000
LONGEST_S = 600


class Cost(msgspec.Struct):
    """CPU of one process over so many changes. A stage's share is of all CPU; what no stage counted is `other`."""

    name: str
    changes: int
    cpu_s: float
    wall_s: float
    stages_s: dict[str, float] = {}
    note: str = ""

    @property
    def per_core(self) -> float:
        """Changes per second and core."""
        return self.changes / self.cpu_s

    @property
    def micros(self) -> float:
        """Microseconds of CPU per change."""
        return self.cpu_s / self.changes * 1e6

    @property
    def shares(self) -> dict[str, float]:
        """Stage -> share of the CPU, `other` last."""
        named = {stage: seconds / self.cpu_s for stage, seconds in self.stages_s.items()}
        return {**named, "other": 1 - sum(named.values())} if named else {}


def sink_cost(settings: Settings, target: str, table: str, written: Written) -> Cost:
    """Carry a table's topic into a new table of a target, in a process of its own.

    Raises:
        subprocess.CalledProcessError: the sink failed; its own words are on stderr.
    """
    command = [sys.executable, "-m", "benchmarks.carry", target, table, "--records", str(written.records)]
    done = subprocess.run(
        [*command, "--most", str(POLL)],
        env=settings.environment(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=LONGEST_S,
    )
    carried = msgspec.json.decode(done.stdout, type=Carried)
    return Cost(f"{target}: {table}", written.changes, carried.cpu_s, carried.wall_s, carried.stages_s)
