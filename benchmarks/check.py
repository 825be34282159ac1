"""What a check of one table costs: wall time, CPU and memory, target by target, on servers of the benchmark's own.

    python -m benchmarks.check --changes 1000000
    python -m benchmarks.check --changes 3000000 --targets postgres,iceberg

A topic is written with a shop's changes (`benchmarks.mix`) and carried to the targets; each is then checked by a
process of its own. CPU is of that process alone, not of the servers'; memory is the most it had resident.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.memory import peak_mb
from benchmarks.mix import Mix
from benchmarks.servers import settings_for
from benchmarks.sinks import POLL
from benchmarks.topic import TopicWriter
from olist.settings import Settings, settings
from olist.stack.local import Stack
from olist.tables import ORDER_ITEMS, TABLES
from sinks.base import TARGETS
from sinks.check.run import check

LONGEST_S = 3_600


class Checked(msgspec.Struct):
    """One check of one table in some targets."""

    targets: str
    records: int
    rows: int
    state: str
    wall_s: float
    cpu_s: float
    peak_mb: float


def checked(targets: list[str], table: str) -> Checked:
    """Check a table in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    report = check(settings(), contracts=[TABLES[table]], targets=targets)
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    (of_table,) = report.tables
    states = ", ".join(finding.state for finding in report.findings)
    return Checked(", ".join(targets), of_table.records, of_table.live.rows, states, wall_s, cpu_s, peak_mb())


def _in_a_process(current: Settings, *arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=current.environment(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=LONGEST_S,
    )
    return done.stdout


def _measured(current: Settings, targets: list[str], changes: int, console: Console) -> list[Checked]:
    table = ORDER_ITEMS.table
    writer = TopicWriter(current, Mix(ORDER_ITEMS))
    console.log(f"writing {changes:,} changes of {table}")
    records = writer.write(changes).records
    for target in targets:
        console.log(f"carrying them to {target}")
        _in_a_process(current, "benchmarks.carry", target, table, "--records", str(records), "--most", str(POLL))
    found = []
    for names in [[target] for target in targets] + ([targets] if len(targets) > 1 else []):
        console.log(f"checking {', '.join(names)}")
        answer = _in_a_process(current, "benchmarks.check", "--only-check", "--targets", ",".join(names))
        found.append(msgspec.json.decode(answer, type=Checked))
    return found


def _table(found: list[Checked]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("targets", "records", "rows", "found", "wall s", "cpu s", "us a record", "peak MB"):
        table.add_column(name, justify="left" if name in ("targets", "found") else "right")
    for one in found:
        each_us = one.cpu_s / one.records * 1e6
        figures = (f"{one.wall_s:.1f}", f"{one.cpu_s:.1f}", f"{each_us:.1f}", f"{one.peak_mb:.0f}")
        table.add_row(one.targets, f"{one.records:,}", f"{one.rows:,}", one.state, *figures)
    return table


@click.command()
@click.option("--changes", type=click.IntRange(1_000), default=1_000_000, show_default=True)
@click.option("--targets", default=",".join(TARGETS), show_default=True, help="Targets to check, comma separated.")
@click.option("--only-check", is_flag=True, hidden=True, help="Check on the servers of the settings, and print JSON.")
def main(changes: int, targets: str, only_check: bool) -> None:
    """Start servers, write and carry a topic, and measure its check."""
    names = targets.split(",")
    if only_check:
        sys.stdout.write(msgspec.json.encode(checked(names, ORDER_ITEMS.table)).decode() + "\n")
        return
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="olist-bench-") as folder:
        current = settings_for(Path(folder), settings())
        with Stack(current, {"kafka", "postgres", "s3", "opensearch"}, tied=True) as stack:
            stack.up()
            found = _measured(current, names, changes, console)
            stack.down()
            stack.delete()
    Console(width=160).print(_table(found))


if __name__ == "__main__":
    main()
