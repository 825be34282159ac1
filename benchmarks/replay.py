"""What a replayed change costs, stage by stage: CPU time of this process, all its threads.

python -m benchmarks.replay                     onto the Kafka of the settings (`olist up --only kafka`)
python -m benchmarks.replay --data PATH --runs 3
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from olist.settings import Settings, settings
from olist.source import Dataset, load
from olist.tables import TABLES
from olist.topics.admin import delete_topics
from producers.cli.replay_command import DEFAULT_DATA
from producers.encoding import encode
from producers.generation.dataset import generate
from producers.kafka_producer import Sender
from producers.progress import Progress
from producers.rate import Pace
from producers.replay import CHUNK, FULL_SPEED_LINGER_MS, Run, check_ends, make_plan, origin_of
from producers.resume import placed
from producers.sequence import sequence

GENERATED_ORDERS = 20_000
# `send` is the whole run, so `encode` is part of it; the first three happen once, before anything is sent.
STAGES = ("read", "order", "place", "encode", "send")


@dataclass
class Cost:
    """CPU and wall seconds per stage, over all changes."""

    changes: int = 0
    cpu_s: dict[str, float] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Count a block as a stage's."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_s[stage] = time.process_time() - cpu
        self.wall_s[stage] = time.perf_counter() - wall

    def micros(self, stage: str) -> float:
        """Microseconds of CPU per change."""
        return self.cpu_s[stage] / self.changes * 1e6

    @property
    def micros_in_all(self) -> float:
        """Microseconds of CPU per change from the files to the topics."""
        return sum(self.micros(stage) for stage in STAGES if stage != "encode")

    @property
    def per_core(self) -> float:
        """Changes per second and core while sending, encoding included."""
        return self.changes / self.cpu_s["send"]

    @property
    def per_second(self) -> float:
        """Changes per second of wall time while sending."""
        return self.changes / self.wall_s["send"]


def replay_cost(data: Path, current: Settings) -> Cost:
    """Replay a data set onto topics of its own, which are deleted afterwards."""
    cost = Cost()
    own = current.model_copy(update={"topic_prefix": f"benchmark.replay{time.time_ns()}"})
    with cost.measured("read"):
        dataset = load(data)
    with cost.measured("order"):
        changes = sequence(dataset.frames)
    cost.changes = changes.height
    with cost.measured("place"):
        placed(dataset.frames, changes, own.partitions)
    with cost.measured("encode"):
        for chunk in changes.iter_slices(CHUNK):
            encode(dataset.frames, chunk, origin_of(dataset, own))
    try:
        _send(dataset, own, cost)
    finally:
        delete_topics(own, [contract.topic(own.topic_prefix) for contract in TABLES.values()])
    return cost


def _send(dataset: Dataset, own: Settings, cost: Cost) -> None:
    plan = make_plan(dataset, own, tuple(TABLES.values()), None)
    sender = Sender(own, linger_ms=FULL_SPEED_LINGER_MS)
    run = Run(plan, sender, Pace(), Progress(plan.changes.height))
    with cost.measured("send"):
        run.go()
    check_ends(own, plan.ends_after(cost.changes))


def table_of(costs: list[Cost]) -> Table:
    """A line per run."""
    shown = Table("changes", "changes/s", "changes/s/core", *(f"{s} us" for s in STAGES), "all us", box=None)
    for cost in costs:
        micros = (f"{cost.micros(stage):.2f}" for stage in STAGES)
        shown.add_row(
            f"{cost.changes:,}",
            f"{cost.per_second:,.0f}",
            f"{cost.per_core:,.0f}",
            *micros,
            f"{cost.micros_in_all:.2f}",
        )
    return shown


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="default: the real data set when there, else generated")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def main(data: Path | None, runs: int, output: str) -> None:
    """Print changes per second and microseconds of CPU per change for the replayer."""
    with tempfile.TemporaryDirectory() as scratch:
        source = data or DEFAULT_DATA
        if not source.exists():
            source = Path(scratch) / "data"
            generate(source, GENERATED_ORDERS, 1, lambda _done: None)
        costs = [replay_cost(source, settings()) for _ in range(runs)]
    if output == "text":
        Console().print(table_of(costs))
        return
    for cost in costs:
        stages = {stage: round(cost.micros(stage), 3) for stage in STAGES}
        click.echo(json.dumps({"changes": cost.changes, "changes_per_s_core": round(cost.per_core), "cpu_us": stages}))


if __name__ == "__main__":
    main()
