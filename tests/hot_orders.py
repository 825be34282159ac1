"""A live writer for the compactor to meet: hot orders changed at a fixed rate, sink and compactor as processes.

And what then must hold: the lake's current orders are what their topic says, and its history has each change once.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread

import msgspec
import polars as pl
from confluent_kafka import Producer
from pyiceberg.table import Table

from compaction.report import Report
from olist.batches import META_SCHEMA, OFFSET, PARTITION
from olist.changes import codec
from olist.clients.kafka import client_options
from olist.lake.ancestry import POSITIONS
from olist.lake.catalog import identifier, open_catalog
from olist.lake.live_rows import live_rows
from olist.order_status import COURSE
from olist.positions import Positions
from olist.settings import Settings
from olist.tables import ORDERS, Order
from olist.topics.admin import admin_client, ensure_topics, topic_state
from olist.topics.reader import read
from sinks.base import factory
from sinks.check.run import check
from tests.written import envelope

TICKS_PER_S = 20
HOT = 2_000  # orders that change most; one change in ten is of any order
DELETED = 0.01
OLIST = ("-m", "olist")
HISTORY = f"{ORDERS.table}_changes"
PLACE = {name: META_SCHEMA[name] for name in (PARTITION, OFFSET)}  # a change's own, in topic and lake

SECOND_US = 1_000_000
FIRST_US = 1_475_000_000 * SECOND_US
BETWEEN_US = 600 * SECOND_US  # 20,000 orders are five months


def order(number: int, step: int) -> Order:
    """An order that has come so far."""
    bought = FIRST_US + number * BETWEEN_US
    return Order(
        order_id=f"{number:032x}",
        customer_id=f"{number + 1:032x}",
        order_status=COURSE[step % len(COURSE)],
        order_purchase_timestamp=bought,
        order_approved_at=bought + step * SECOND_US,
        order_delivered_carrier_date=None,
        order_delivered_customer_date=None,
        order_estimated_delivery_date=bought + 20 * 86_400 * SECOND_US,
    )


class HotOrders:
    """Writes changes of orders at a rate until stopped. Deleted orders come back."""

    def __init__(self, settings: Settings, orders: int, rate: int, seed: int = 1) -> None:
        self.settings, self.orders, self.rate = settings, orders, rate
        self.going, self.stopping = Event(), Event()
        self._random = random.Random(seed)
        self._thread = Thread(target=self._write, name="hot-orders", daemon=True)
        self._topic = ORDERS.topic(settings.topic_prefix)
        self._codec = codec(ORDERS)
        self.written = 0

    def __enter__(self) -> HotOrders:
        # A topic that Kafka compacts would not tell any more what the history must hold.
        ensure_topics(self.settings, [replace(ORDERS, topic_config={"cleanup.policy": "delete", "retention.ms": "-1"})])
        self._producer = Producer({**client_options(self.settings), "partitioner": "murmur2_random", "linger.ms": 20})
        for number in range(self.orders):
            self._change(number)
        self._producer.flush(60)
        self._thread.start()
        self.going.set()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.going.set()
        self._thread.join()
        self._producer.flush(60)

    def _write(self) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            if not self.going.is_set():
                self._producer.flush(60)
                self.going.wait()
                due = time.monotonic()
            for _ in range(self.rate // TICKS_PER_S):
                hot = self._random.random() < 0.9
                self._change(self._random.randrange(min(HOT, self.orders) if hot else self.orders))
            due += 1 / TICKS_PER_S
            self.stopping.wait(max(0.0, due - time.monotonic()))

    def _change(self, number: int) -> None:
        row = order(number, self._random.randrange(1_000_000))
        key = self._codec.encode_key(self._codec.key_of(row))
        if self._random.random() < DELETED and self.written > self.orders:
            self._producer.produce(self._topic, key=key, value=envelope(ORDERS, "d", None, row))
            self._producer.produce(self._topic, key=key, value=None)
        else:
            self._producer.produce(self._topic, key=key, value=envelope(ORDERS, "u", row))
        self._producer.poll(0)
        self.written += 1


@dataclass
class Processes:
    """The sink and the compactor of one table, restarted at will. What they say is in files."""

    settings: Settings
    folder: Path
    every: str = "3s"
    programs: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by name, where it is another than `olist`
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: int = 0

    def sink(self) -> None:
        """Start the sink, with a commit a second."""
        options = ("--tables", ORDERS.table, "--interval", "1", "--instance", "one")
        self._start("sink", "sink", "run", "iceberg", *options)

    def compactor(self) -> None:
        """Start a compactor."""
        options = ("--tables", ORDERS.table, "--every", self.every, "-o", "json")
        self._start("compactor", "compact", *options)

    def kill(self, name: str) -> None:
        """End a process as a machine that loses power would."""
        self.running[name].kill()
        self.running.pop(name).wait()

    def stop(self, name: str, within_s: float = 60.0) -> int:
        """Ask a process to end and wait for it; return its exit code."""
        process = self.running.pop(name)
        process.terminate()
        return process.wait(within_s)

    def ended(self) -> dict[str, str]:
        """What processes said that ended by themselves."""
        return {name: self.said(name) for name, process in self.running.items() if process.poll() is not None}

    def said(self, name: str) -> str:
        """A process's log."""
        return "".join(path.read_text() for path in sorted(self.folder.glob(f"{name}-*.err")))

    def reports(self) -> list[Report]:
        """What all compactors so far reported; a line that a kill cut short is left out."""
        lines = [line for path in sorted(self.folder.glob("compactor-*.out")) for line in path.read_text().splitlines()]
        return [msgspec.json.decode(line, type=Report) for line in lines if line.endswith("}")]

    def _start(self, name: str, *arguments: str) -> None:
        self.started += 1
        path, program = self.folder / f"{name}-{self.started:03}", self.programs.get(name, OLIST)
        with path.with_suffix(".out").open("wb") as out, path.with_suffix(".err").open("wb") as err:
            self.running[name] = subprocess.Popen(
                [sys.executable, *program, *arguments], env=self.settings.environment(), stdout=out, stderr=err
            )


@contextmanager
def live(
    settings: Settings,
    folder: Path,
    *,
    orders: int,
    rate: int,
    every: str = "3s",
    programs: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[tuple[HotOrders, Processes]]:
    """Hot orders being written, a sink and a compactor of them. The lake's orders are dropped before and after."""
    processes = Processes(settings, folder, every, programs or {})
    drop(settings)
    try:
        with HotOrders(settings, orders, rate) as hot:
            processes.sink()
            processes.compactor()
            yield hot, processes
    finally:
        for process in processes.running.values():
            process.kill()
            process.wait()
        drop(settings)


def drop(settings: Settings) -> None:
    """Remove the lake's orders and their history."""
    table = factory("iceberg")(ORDERS, settings)
    table.drop()
    table.drop_histories()
    table.close()


@dataclass(frozen=True)
class Sample:
    """The table at one moment."""

    data_files: int
    delete_files: int
    snapshots: int


def sample(settings: Settings) -> Sample | None:
    """What the table's head says; None before its first commit."""
    catalog = open_catalog(settings)
    try:
        if not catalog.table_exists(identifier(ORDERS.table)):
            return None
        table = catalog.load_table(identifier(ORDERS.table))
        head = table.current_snapshot()
        if head is None or head.summary is None:
            return None
        data, deletes = (int(head.summary.get(f"total-{kind}-files") or 0) for kind in ("data", "delete"))
        return Sample(data, deletes, len(table.metadata.snapshots))
    finally:
        catalog.close()


def unequal(settings: Settings, wait_s: float) -> Sequence[object]:
    """What is wrong with the lake's orders once the sink has caught up: what `olist check` finds, then the history."""
    report = check(settings, contracts=[ORDERS], targets=["iceberg"], wait_s=wait_s, explain=5)
    rows = [(f.target, f.state, f.differences, f.note) for f in report.findings if f.state != "equal"]
    return [*rows, *unequal_history(settings)]


def unequal_history(settings: Settings) -> list[str]:
    """How the lake's history differs from the topic: up to its positions it must hold every change, and each once.

    It is committed before the current rows, so it may be ahead of them and never behind.
    """
    with closing(open_catalog(settings)) as catalog:
        current = _positions(catalog.load_table(identifier(ORDERS.table)))
        history = catalog.load_table(identifier(HISTORY))
        stands = _positions(history)
        rows = [rows.select(*PLACE) for _file, rows in live_rows(history, list(PLACE))]
    behind = {partition: end for partition, end in current.items() if stands.get(partition, 0) < end}
    wrong = differing(_changes(settings, stands), pl.concat([pl.DataFrame(schema=PLACE), *rows]))
    return [*wrong, *([f"it stands at {stands}, behind the current rows: {behind}"] if behind else [])]


def differing(said: pl.DataFrame, held: pl.DataFrame) -> list[str]:
    """How the places that a history holds differ from those that its topic says."""
    found = {
        "lost": said.join(held, on=list(PLACE), how="anti"),
        "made up": held.join(said, on=list(PLACE), how="anti"),
        "there twice": held.filter(held.is_duplicated()),
    }
    return [f"{HISTORY}: {rows.height} {what}: {rows.head(6).rows()}" for what, rows in found.items() if rows.height]


def _positions(table: Table) -> Mapping[int, int]:
    return Positions.decode(table.properties[POSITIONS]).next


def _changes(settings: Settings, end: Mapping[int, int]) -> pl.DataFrame:
    """Where the topic has a change, up to `end`: every record but the tombstones of keys that have no row any more."""
    topic = topic_state(admin_client(settings), ORDERS.topic(settings.topic_prefix))
    assert not any(topic.first.values()), "the topic no longer has all that was written"
    op_of, live, places = codec(ORDERS).image, set[bytes | None](), []
    for records in read(settings, topic.topic, topic.first, end):
        for record in records:
            key, value = record.key(), record.value()
            if value is not None or key in live:
                places.append((record.partition(), record.offset()))
            if value is not None and op_of.decode(value).op != "d":
                live.add(key)
            else:
                live.discard(key)
    return pl.DataFrame(places, schema=PLACE, orient="row")
