"""What a target costs per change: CPU time of this process, by stage, over batches that are already decoded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from olist.batches import Batch
from olist.contracts import Contract
from olist.positions import Positions
from olist.settings import Settings
from sinks.targets import factory


@dataclass
class Cost:
    """CPU and wall seconds per stage, over `changes` changes."""

    target: str
    changes: int
    cpu_s: dict[str, float] = field(default_factory=lambda: {"stage": 0.0, "commit": 0.0})
    wall_s: float = 0.0

    @property
    def per_core(self) -> float:
        """Changes per second and core."""
        return self.changes / sum(self.cpu_s.values())

    def micros(self, stage: str) -> float:
        """Microseconds of CPU per change in one stage."""
        return self.cpu_s[stage] / self.changes * 1e6

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Count a block as a stage's. CPU of all threads: polars and pyarrow bring their own."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_s[stage] += time.process_time() - cpu
        self.wall_s += time.perf_counter() - wall


def stage_commit_cost(target: str, settings: Settings, contract: Contract, batches: Sequence[Batch]) -> Cost:
    """Write the batches of one topic into a new table of the target, and drop it.

    The contract's table must be the benchmark's own. Batches follow each other from offset 0.
    """
    table = factory(target)(contract, settings)
    table.drop()
    table.open()
    partitions = sorted({partition for batch in batches for partition in batch.next})
    held = Positions(batches[0].topic, "benchmark", dict.fromkeys(partitions, 0))
    table.own(frozenset(partitions))
    cost = Cost(target, sum(batch.frame.height for batch in batches))
    for batch in batches:
        with cost.measured("stage"):
            refused = table.stage(batch)
        if refused:
            raise ValueError(f"{target} refused row {refused[0].row} of a benchmark's batch: {refused[0].reason}")
        with cost.measured("commit"):
            held = table.commit(batch, held)
    table.drop()
    table.close()
    return cost
