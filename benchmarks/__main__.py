"""`make bench`: what a change costs in every sink and how fresh it is, on servers of the benchmark's own.

make bench                                        about eight minutes; another process's load shows in the figures
make bench ARGS="--targets iceberg --no-peer --changes 200000"
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from benchmarks.freshness import freshness
from benchmarks.mix import Mix
from benchmarks.peer import peer_costs
from benchmarks.report import Report, as_json, machine, show
from benchmarks.servers import settings_for
from benchmarks.sinks import Cost, sink_cost
from benchmarks.topic import TopicWriter
from olist.errors import OlistError
from olist.settings import Settings, settings
from olist.stack.local import Stack
from olist.tables import ORDER_ITEMS, ORDERS
from sinks.base import TARGETS

HISTORY_TARGET = "iceberg"  # the one that keeps a history and partitions by month
SERVERS_OF = {
    "iceberg": ("kafka", "postgres", "s3"),
    "postgres": ("kafka", "postgres"),
    "opensearch": ("kafka", "opensearch"),
}

Say = Callable[[str], None]


class Bench:
    """One run, step by step, one sink at a time."""

    def __init__(self, current: Settings, targets: list[str], say: Say) -> None:
        self.settings, self.targets, self.say = current, targets, say
        self.report = Report(machine())
        self.items = TopicWriter(current, Mix(ORDER_ITEMS))

    def sinks(self, changes: int) -> None:
        """Every sink on the items; the one with a history on the orders as well."""
        self.say(f"writing {changes:,} changes of {ORDER_ITEMS.table}")
        self.items.write(changes)
        for target in self.targets:
            self._sink(target, self.items)
        if HISTORY_TARGET in self.targets:
            orders = TopicWriter(self.settings, Mix(ORDERS))
            self.say(f"writing {changes // 2:,} changes of {ORDERS.table}")
            orders.write(changes // 2)
            self._sink(HISTORY_TARGET, orders)

    def _sink(self, target: str, writer: TopicWriter) -> None:
        table = writer.mix.contract.table
        self.say(f"{target}: {table}")
        self.report.costs.append(sink_cost(self.settings, target, table, writer.total))

    def peer(self) -> None:
        """The Iceberg project's own sink, on the same topic."""
        self.say("the Iceberg sink of Kafka Connect")
        self.report.costs += peer_costs(self.settings, self.items.topic, self.items.total)

    def freshness(self) -> None:
        """Every sink at a steady rate; each first catches up with what the others were given."""
        for target in self.targets:
            self.say(f"freshness: {target}")
            self.report.freshness.append(freshness(self.settings, target, self.items))

    def replay(self) -> None:
        """The replayer."""
        self.say("the replay")
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.replay", "--runs", "1", "-o", "json"],
            env=self.settings.environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
        found = json.loads(done.stdout)
        sent_s = found["changes"] / found["changes_per_s_core"]
        stages = {"encode": found["cpu_us"]["encode"] * found["changes"] / 1e6}
        self.report.costs.append(Cost("replay", found["changes"], sent_s, 0.0, stages))


@click.command()
@click.option("--targets", default=",".join(TARGETS), show_default=True, help="Sinks to measure, comma separated.")
@click.option("--changes", type=click.IntRange(1_000), default=500_000, show_default=True)
@click.option(
    "--peer/--no-peer", default=True, show_default=True, help="Kafka Connect's Iceberg sink (93 MB to fetch)."
)
@click.option("--fresh/--no-fresh", default=True, show_default=True, help="How old a change is when it can be read.")
@click.option("--replay/--no-replay", default=True, show_default=True)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def main(targets: str, changes: int, peer: bool, fresh: bool, replay: bool, output: str) -> None:
    """Start servers, write topics, measure every sink on them."""
    wanted = [name for name in TARGETS if name in targets.split(",")]
    if unknown := set(targets.split(",")) - set(TARGETS):
        raise click.BadParameter(f"no sink named {', '.join(sorted(unknown))}", param_hint="--targets")
    console = Console(stderr=True)
    try:
        with tempfile.TemporaryDirectory(prefix="olist-bench-") as folder:
            current = settings_for(Path(folder), settings())
            names = {name for target in wanted for name in SERVERS_OF[target]} | ({"postgres"} if peer else set())
            with Stack(current, names, tied=True) as stack:
                stack.up()
                bench = Bench(current, wanted, console.log)
                bench.sinks(changes)
                steps = {bench.peer: peer, bench.freshness: fresh, bench.replay: replay}
                for step in (step for step, asked in steps.items() if asked):
                    step()
                stack.down()
                stack.delete()
    except OlistError as error:
        raise click.ClickException(str(error)) from error
    if output == "json":
        click.echo(as_json(bench.report))
    else:
        show(bench.report, Console(width=160))


if __name__ == "__main__":
    main()
