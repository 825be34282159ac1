"""Change data capture in figures: changes into the shop, changes through Debezium, and from commit to topic.

olist up --only kafka,postgres,connect
python -m benchmarks.cdc                        all three, with the settings that were compared
python -m benchmarks.cdc --orders 20000 --rate 500 --seconds 20
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import psutil
import psycopg
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from olist.changes import decode_envelope
from olist.clients.kafka import client_options
from olist.settings import Settings, settings
from olist.source import Dataset, load
from olist.stack.local import Stack
from olist.tables import TABLES
from olist.topics.admin import delete_topics, ensure_topics
from producers.generation.dataset import generate
from producers.progress import Progress
from producers.rate import Pace
from producers.sequence import sequence
from producers.shop.replay import CHUNK, Run, make_plan, name_of
from producers.shop.transactions import Transaction, slices, transactions
from producers.shop.writer import write
from tests.shops import CapturedShop, records_of_all, shop_settings

NAIVE_CHANGES = 3_000
WITHIN_S = 600.0
console = Console(width=140)

# What is compared: what differs from the rendered configuration, with `__` for dots.
DEBEZIUMS_OWN = {
    "max__batch__size": "2048",
    "max__queue__size": "8192",
    "producer__override__linger__ms": "0",
    "producer__override__batch__size": "16384",
    "producer__override__compression__type": "none",
}
THROUGH: Mapping[str, dict[str, str]] = {
    "as rendered": {},
    "no compression": {"producer__override__compression__type": "none"},
    "batch and queue of Debezium": {"max__batch__size": "2048", "max__queue__size": "8192"},
    "Debezium's and the producer's defaults": {**DEBEZIUMS_OWN, "poll__interval__ms": "500"},
}
ROUNDS = 2
LATENCY: Mapping[str, dict[str, str]] = {
    "Debezium's and the producer's defaults": {**DEBEZIUMS_OWN, "poll__interval__ms": "500"},
    "as rendered": {},
    "poll 10 ms": {"poll__interval__ms": "10"},
    "poll 10 ms, linger 5 ms": {"poll__interval__ms": "10", "producer__override__linger__ms": "5"},
    "linger 0": {"producer__override__linger__ms": "0"},
    "transactions of 100 ms": {
        "transaction__boundary": "interval",
        "transaction__boundary__interval__ms": "100",
    },
}


@contextmanager
def fresh_shop(current: Settings) -> Iterator[CapturedShop]:
    """A shop of this benchmark's own, with its topics, removed afterwards."""
    own = shop_settings(current, f"bench{time.time_ns()}")
    ensure_topics(own, TABLES.values())
    try:
        with CapturedShop(own) as shop:
            yield shop
    finally:
        delete_topics(own, [contract.topic(own.topic_prefix) for contract in TABLES.values()])


Way = Callable[[psycopg.Connection, str, list[Transaction]], None]


def one_by_one(connection: psycopg.Connection, _name: str, ready: list[Transaction]) -> None:
    """What is to be beaten: each change commits on its own, and is waited for."""
    for transaction in ready:
        for statement, values in transaction.statements:
            connection.execute(statement.encode(), values)


def each_waited_for(connection: psycopg.Connection, name: str, ready: list[Transaction]) -> None:
    """The shop's transactions, one after the other."""
    for transaction in ready:
        write(connection, name, [transaction])


# Way, synchronous_commit, how many changes are enough to know its speed.
WAYS: Mapping[str, tuple[Way, str, int]] = {
    "one autocommit statement per change": (one_by_one, "on", NAIVE_CHANGES),
    "transactions, each waited for": (each_waited_for, "on", NAIVE_CHANGES),
    "transactions in flight, commits waited for on disk": (write, "on", 10**9),
    "transactions, each waited for, commits not on disk": (each_waited_for, "off", NAIVE_CHANGES),
    "transactions in flight, commits not on disk (the replay)": (write, "off", 10**9),
}


def writing(current: Settings, dataset: Dataset) -> Table:
    """Changes per second into the shop. The orders' part of the sequence only: the catalogue is one transaction."""
    shown = Table("into the shop", "changes", "changes/s", box=None)
    for name, (way, on_disk, most) in WAYS.items():
        with fresh_shop(current) as shop, shop.connect() as connection:
            make_plan(dataset, shop.settings, 0)
            first, *rest = slices(sequence(dataset.frames), CHUNK)
            catalogue = transactions(dataset.frames, first, 0)
            write(connection, name_of(dataset), catalogue)
            connection.execute(f"set synchronous_commit = {on_disk}".encode())
            done, seq, started = 0, catalogue[-1].after, time.perf_counter()
            for part in rest:
                ready = transactions(dataset.frames, part.head(most - done), seq)
                way(connection, name_of(dataset), ready)
                done, seq = done + sum(len(one.statements) for one in ready), ready[-1].after
                if done >= most:
                    break
            shown.add_row(name, f"{done:,}", f"{done / (time.perf_counter() - started):,.0f}")
    return shown


def through(current: Settings, dataset: Dataset, connect: psutil.Process) -> Table:
    """A backlog: changes per second from the first to the last on the topics; the worker's CPU, its start included.

    Until the worker's code is compiled one setting differs from itself more than from any other, so a first run is not
    counted, and the settings take turns: what a round differs by is what a line may be wrong by.
    """
    rounds = [f"changes/s, {n}. round" for n in range(1, ROUNDS + 1)]
    shown = Table("through Debezium", "changes", *rounds, "CPU s per million", box=None)
    _backlog(current, dataset, connect, {})
    found = [[_backlog(current, dataset, connect, different) for different in THROUGH.values()] for _ in range(ROUNDS)]
    for name, runs in zip(THROUGH, zip(*found, strict=True), strict=True):
        cpu = sum(run.cpu_s for run in runs) / sum(run.changes for run in runs) * 1e6
        shown.add_row(
            name, f"{runs[0].changes:,}", *(f"{run.changes / run.seconds:,.0f}" for run in runs), f"{cpu:.0f}"
        )
    return shown


class Backlog(NamedTuple):
    """What one run through Debezium took."""

    changes: int
    seconds: float
    cpu_s: float


def _backlog(current: Settings, dataset: Dataset, connect: psutil.Process, different: dict[str, str]) -> Backlog:
    with fresh_shop(current) as shop:
        shop.capture(**different)
        shop.wait()
        shop.client.ask(shop.name, "stop")
        changes = shop.replay(dataset)
        cpu = sum(connect.cpu_times()[:2])
        shop.client.ask(shop.name, "resume")
        shop.wait()
        used = sum(connect.cpu_times()[:2]) - cpu
        found = records_of_all(shop.settings, TABLES.values())
        written_ms = [record.timestamp()[1] for some in found.values() for record in some]
        return Backlog(changes, (max(written_ms) - min(written_ms)) / 1000, used)


def latency(current: Settings, dataset: Dataset, connect: psutil.Process, rate: float, seconds: float) -> Table:
    """From the commit's time, by PostgreSQL, to a read_committed consumer that has the change in hand."""
    shown = Table(f"commit to topic at {rate:,.0f} changes/s", "p50 ms", "p99 ms", "max ms", "cores", box=None)
    for name, different in LATENCY.items():
        with fresh_shop(current) as shop:
            shop.capture(**different)
            catalogue = next(slices(sequence(dataset.frames), CHUNK)).height
            shop.replay(dataset, limit=catalogue)
            shop.wait()
            cpu, started = sum(connect.cpu_times()[:2]), time.perf_counter()
            found = np.array(_latencies(shop, dataset, rate, int(rate * seconds))) / 1000
            cores = (sum(connect.cpu_times()[:2]) - cpu) / (time.perf_counter() - started)
            p50, p99 = np.percentile(found, [50, 99])
            shown.add_row(name, f"{p50:.0f}", f"{p99:.0f}", f"{found.max():.0f}", f"{cores:.2f}")
    return shown


def _latencies(shop: CapturedShop, dataset: Dataset, rate: float, changes: int) -> list[int]:
    """Microseconds, of all but the first tenth: the topics' first records are slower."""
    plan = make_plan(dataset, shop.settings, changes)
    run = Run(shop.settings, plan, Pace(rate=rate), Progress(total=changes))
    consumer = _consumer(shop.settings)
    writing = threading.Thread(target=run.go)
    writing.start()
    found: list[int] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < plan.changes.height and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.002):
            value = message.value()
            if message.error() is None and value is not None:
                found.append(time.time_ns() // 1000 - committed_us(value))
    writing.join()
    consumer.close()
    return found[len(found) // 10 :]


def committed_us(value: bytes | str) -> int:
    """When the source committed it."""
    assert isinstance(value, bytes)  # the stubs allow text
    stamp = decode_envelope(value).source
    return stamp.ts_us


def _consumer(current: Settings) -> Consumer:
    """At the ends of all topics."""
    states = ensure_topics(current, TABLES.values())
    consumer = Consumer(
        {
            **client_options(current),
            "group.id": "benchmark",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 5,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(s.topic, p, end) for s in states.values() for p, end in s.end.items()])
    return consumer


@click.command()
@click.option("--orders", type=click.IntRange(1000), default=8_000, show_default=True)
@click.option("--rate", type=float, default=500.0, show_default=True)
@click.option("--seconds", type=float, default=20.0, show_default=True)
@click.option("--only", type=click.Choice(["writing", "through", "latency"]))
def main(orders: int, rate: float, seconds: float, only: str | None) -> None:
    """Measure on the servers of the settings."""
    current = settings()
    pid = Stack(current, ["connect"]).states()["connect"].pid
    if pid is None:
        raise click.UsageError("first: olist up --only kafka,postgres,connect")
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder) / "data", orders, 1, lambda _done: None)
        dataset = load(Path(folder) / "data")
    parts: dict[str, Callable[[], Table]] = {
        "writing": lambda: writing(current, dataset),
        "through": lambda: through(current, dataset, psutil.Process(pid)),
        "latency": lambda: latency(current, dataset, psutil.Process(pid), rate, seconds),
    }
    for name, measure in parts.items():
        if only in (None, name):
            console.print(measure(), "")


if __name__ == "__main__":
    main()
