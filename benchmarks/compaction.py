"""What compaction costs and holds: beside a live sink for minutes, and beside Spark's `rewrite_data_files`.

python -m benchmarks.compaction soak --minutes 10
python -m benchmarks.compaction rewrite --files 100 --rows 30000
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import click
import msgspec
import requests

from benchmarks.servers import settings_for
from olist.settings import Settings, settings
from olist.stack.local import Stack
from olist.stack.ports import free_ports
from tests.hot_orders import HotOrders, Processes, Sample, live, sample, unequal

LOOK_EVERY_S = 1.0
CHECKS = 3  # at random pauses, beside the one at the end
CATCH_UP_S = 300.0


class Minute(msgspec.Struct):
    """The table within one minute: most files and snapshots, and the sink's mean commit in milliseconds."""

    most_data_files: int
    most_delete_files: int
    most_snapshots: int
    commit_ms: float


class Soaked(msgspec.Struct):
    """A soak's outcome. `unequal` is what `olist check` found at the pauses and at the end: nothing, if all is well."""

    minutes: list[Minute]
    changes: int
    reports: int
    commits: int
    conflicts: int
    translated: int
    lost: int
    run_s_median: float
    run_s_p95: float
    checks: int
    unequal: list[str]
    processes_ended: list[str]


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
    """A sink that commits each second, a compactor beside it, `olist check` at random pauses and at the end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # sink and compactor end with this process
    with TemporaryDirectory() as folder:
        home = Path(folder)
        port = free_ports(1, after=28_000)[0]
        current = settings_for(home / "stack", settings()).model_copy(update={"metrics_port": port})
        with Stack(current, ["kafka", "postgres", "s3"], tied=True) as stack:
            stack.up()
            found = _soak(current, home, minutes, rate, orders, every, random.Random(seed))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    sys.exit(bool(found.unequal or found.processes_ended or found.lost))


def _soak(
    current: Settings, folder: Path, minutes: float, rate: int, orders: int, every: str, chance: random.Random
) -> Soaked:
    with live(current, folder, orders=orders, rate=rate, every=every) as (hot, processes):
        pauses = sorted(chance.uniform(0.1, 0.9) * minutes for _ in range(CHECKS))
        wrong: list[str] = []
        found: list[Minute] = []
        started = time.monotonic()
        for minute in _minutes(current, minutes):
            found.append(minute)
            while pauses and time.monotonic() - started > pauses[0] * 60:
                pauses.pop(0)
                wrong += _check(current, hot)
        wrong += _check(current, hot)
        ended = [f"{name}: {said}" for name, said in processes.ended().items()]
        processes.stop("compactor")
        return _outcome(found, hot, processes, wrong, ended)


def _outcome(minutes: list[Minute], hot: HotOrders, processes: Processes, wrong: list[str], ended: list[str]) -> Soaked:
    reports = processes.reports()
    seconds = [report.seconds for report in reports]
    return Soaked(
        minutes=minutes,
        changes=hot.written,
        reports=len(reports),
        commits=sum(report.commits for report in reports),
        conflicts=sum(report.conflicts for report in reports),
        translated=sum(report.translated for report in reports),
        lost=sum(report.lost for report in reports),
        run_s_median=median(seconds),
        run_s_p95=quantiles(seconds, n=20)[-1],
        checks=CHECKS + 1,
        unequal=wrong,
        processes_ended=ended,
    )


def _check(current: Settings, hot: HotOrders) -> list[str]:
    """Pause the writing, let the sink catch up, compare."""
    hot.going.clear()
    wrong = [str(finding) for finding in unequal(current, CATCH_UP_S)]
    hot.going.set()
    return wrong


def _minutes(current: Settings, minutes: float) -> Iterator[Minute]:
    """One summary per minute (or what there is of it)."""
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        before = _commits(current)
        seen: list[Sample] = []
        until = min(end, time.monotonic() + 60)
        while time.monotonic() < until:
            seen += filter(None, [sample(current)])
            time.sleep(LOOK_EVERY_S)
        count, total_s = (now - was for now, was in zip(_commits(current), before, strict=True))
        yield _minute(seen, 1000 * total_s / max(count, 1))


def _minute(seen: Sequence[Sample], commit_ms: float) -> Minute:
    return Minute(
        max((s.data_files for s in seen), default=0),
        max((s.delete_files for s in seen), default=0),
        max((s.snapshots for s in seen), default=0),
        round(commit_ms, 1),
    )


def _commits(current: Settings) -> tuple[float, float]:
    """Commits of the sink so far, and the seconds that they took."""
    try:
        text = requests.get(f"http://127.0.0.1:{current.metrics_port}/metrics", timeout=5).text
    except requests.ConnectionError:  # the sink is starting
        return 0.0, 0.0
    lines = [line for line in text.splitlines() if line.startswith("olist_sink_commit_seconds")]
    values = {kind: sum(float(line.split()[-1]) for line in lines if f"_{kind}{{" in line) for kind in ("count", "sum")}
    return values["count"], values["sum"]


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
