"""What compaction costs and holds: beside a live sink for minutes, and beside Spark's `rewrite_data_files`.

python -m benchmarks.compaction soak --minutes 10
python -m benchmarks.compaction rewrite --files 100 --rows 30000
"""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec

from benchmarks.servers import settings_for
from benchmarks.soaking import Seen, Soaked, soaked
from benchmarks.timed_lake import PROGRAM, commits
from olist.settings import Settings, settings
from olist.stack.local import Stack
from olist.tables import ORDERS
from tests.hot_orders import HotOrders, live, sample, unequal
from tests.waiting import wait_until

LOOK_EVERY_S = 1.0
CHECKS = 3  # at random pauses, beside the one at the end
CATCH_UP_S = 300.0


@click.group()
def main() -> None:
    """Measure compaction."""


@main.command()
@click.option("--minutes", default=1.0, show_default=True)
@click.option("--rate", default=2_000, show_default=True, help="Updates a second, nine in ten of 2,000 hot orders.")
@click.option("--orders", default=20_000, show_default=True)
@click.option("--every", default="3s", show_default=True)
@click.option("--seed", default=1, show_default=True)
def soak(minutes: float, rate: int, orders: int, every: str, seed: int) -> None:
    """A sink that commits each second, a compactor beside it, rows and history compared at random pauses and the end.

    Exits with 1 when rows or history are not what the topic says, a process ended by itself, a compaction was lost to
    another, or the last third of the time has more than 1.5 times the first third's files or commit latency.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # sink and compactor end with this process
    with TemporaryDirectory() as folder:
        home = Path(folder)
        current = settings_for(home / "stack", settings())
        with Stack(current, ["kafka", "postgres", "s3"], tied=True) as stack:
            stack.up()
            found = _soak(current, home, minutes, rate, orders, every, random.Random(seed))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    sys.exit(not found.is_well)


def _soak(
    current: Settings, folder: Path, minutes: float, rate: int, orders: int, every: str, chance: random.Random
) -> Soaked:
    with live(current, folder, orders=orders, rate=rate, every=every, programs={"sink": PROGRAM}) as (hot, processes):
        wait_until(lambda: sample(current) is not None, "the first commit")
        pauses = [chance.uniform(0.1, 0.9) * minutes * 60 for _ in range(CHECKS)]
        seen = _watch(current, hot, minutes * 60, sorted(pauses))
        seen.unequal += _check(current, hot)
        seen.ended = [f"{name}: {said}" for name, said in processes.ended().items()]
        processes.stop("compactor")
        seen.changes = hot.written
        return soaked(seen, list(commits(folder, ORDERS.table)), processes.reports())


def _watch(current: Settings, hot: HotOrders, for_s: float, pauses: list[float]) -> Seen:
    """Look at the table every second for some time, and compare at these moments of it."""
    started = time.monotonic()
    seen = Seen(started, started + for_s)
    while time.monotonic() < seen.until_s:
        if pauses and time.monotonic() - started > pauses[0]:
            pauses.pop(0)
            seen.unequal += _check(current, hot)
        if (found := sample(current)) is not None:
            seen.samples.append((time.monotonic(), found))
        time.sleep(LOOK_EVERY_S)
    return seen


def _check(current: Settings, hot: HotOrders) -> list[str]:
    """Pause the writing, let the sink catch up, compare."""
    hot.going.clear()
    wrong = [str(finding) for finding in unequal(current, CATCH_UP_S)]
    hot.going.set()
    return wrong


@main.command()
@click.option("--files", default=100, show_default=True)
@click.option("--rows", default=30_000, show_default=True, help="Rows of each file.")
@click.option("--deleted", default=0.1, show_default=True, help="Share of rows that position deletes cover.")
@click.option("--memory", default=512, show_default=True, help="Megabytes that ours may use.")
@click.option("--order/--no-order", default=True, show_default=True, help="Sort by the contract's key.")
def rewrite(files: int, rows: int, deleted: float, memory: int, order: bool) -> None:
    """Rewrite copies of the same files by ours and by Spark's `rewrite_data_files`, each in a process of one core."""
    from benchmarks.rewriting import compare

    found = compare(files, rows, deleted, memory, order=order)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")


if __name__ == "__main__":
    main()
