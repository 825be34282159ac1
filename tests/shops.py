"""A shop of a test's own that Debezium captures: its database, its connector, its topics, and how to read them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import polars as pl
import psycopg
from confluent_kafka import Consumer, KafkaError, TopicPartition
from psycopg import sql

from connect.apply import apply, bootstrap, check, remove_with_slot
from connect.capture import until_caught_up, until_snapshot_done
from connect.connect_client import ConnectClient
from connect.postgres import Config, connector_name, render
from olist.batches import META, OP, Batch, decode_batch, frame_schema
from olist.clients.kafka import client_options
from olist.clients.shop import connect
from olist.contracts import Contract
from olist.settings import Settings
from olist.source import Dataset
from olist.tables import TABLES
from olist.topics.admin import admin_client, topic_states
from olist.topics.broker import Broker
from olist.topics.reader import Consumed
from producers.progress import Progress
from producers.rate import Pace
from producers.shop.migrate import migrate
from producers.shop.replay import Run, make_plan

WITHIN_S = 120.0


def shop_settings(settings: Settings, name: str, **others: Any) -> Settings:
    """A database and topics of the same name, so that neither tests nor their slots meet."""
    url = urlsplit(settings.postgres_url)._replace(path=f"/{name}").geturl()
    return settings.model_copy(update={"shop": url, "topic_prefix": f"{name}.public", **others})


def administrators_url(settings: Settings) -> str:
    """The shop's server as its superuser, whom it trusts."""
    url = urlsplit(settings.shop_url)
    return f"postgresql://postgres@{url.hostname}:{url.port}/postgres"


class CapturedShop:
    """Migrated when made; captured once `capture` was called. Leaving removes connector, slot and database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = ConnectClient(settings.connect_url)
        self.name = connector_name(settings)
        migrate(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.client.config(self.name) is not None:
            self.remove_connector()
        name = urlsplit(self.settings.shop_url).path.lstrip("/")
        # Not as the shop's user: an autovacuum that is under way is the administrator's to end.
        with psycopg.connect(administrators_url(self.settings), autocommit=True) as beside:
            beside.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def remove_connector(self) -> None:
        """`olist connect delete --drop-slot`."""
        remove_with_slot(self.settings, self.client, self.name)

    def capture(self, **different: str) -> list[str]:
        """`olist connect apply`; returns what it says."""
        config: Config = {**render(self.settings), **{key.replace("__", "."): v for key, v in different.items()}}
        said: list[str] = []
        apply(self.client, config, said.append, lambda: True)
        bootstrap(self.settings, self.client, self.name, said.append)
        return said

    def check(self) -> None:
        """Fail when the connector has."""
        check(self.settings, self.client, self.name)

    def wait(self) -> None:
        """Until all that is committed is on the topics."""
        until_caught_up(self.settings, WITHIN_S, self.check)

    def wait_for_snapshot(self) -> None:
        """Until no incremental snapshot is under way either."""
        until_snapshot_done(self.settings, WITHIN_S, self.check, lambda: self.client.offsets(self.name))

    def connect(self) -> psycopg.Connection:
        """A connection of one's own."""
        return connect(self.settings)

    def run(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def replay(self, dataset: Dataset, *, limit: int | None = None, rate: float | None = None) -> int:
        """`olist replay --to postgres`; returns how many changes it wrote."""
        plan = make_plan(dataset, self.settings, limit)
        run = Run(self.settings, plan, Pace(rate=rate), Progress(total=plan.changes.height))
        run.go()
        return run.sent


def records_of_all(settings: Settings, wanted: Iterable[Contract]) -> dict[str, list[Consumed]]:
    """All records of some contracts' topics by table, read_committed, in offset order within each partition.

    One consumer for all: to begin to read costs more than what a test has written.
    """
    there = set(Broker(settings).names())
    tables = {c.topic(settings.topic_prefix): c.table for c in wanted}
    states = topic_states(admin_client(settings), [topic for topic in tables if topic in there])
    found: dict[str, list[Consumed]] = {table: [] for table in tables.values()}
    left = {(s.topic, p) for s in states.values() for p, end in s.end.items() if end > s.first[p]}
    consumer = Consumer(
        {
            **client_options(settings),
            "group.id": "tests",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, p, states[topic].first[p]) for topic, p in left])
    deadline = time.monotonic() + WITHIN_S
    while left:
        assert time.monotonic() < deadline, f"not read to the end: {left}"
        for message in consumer.consume(10_000, 0.05):
            if message.error() is None:
                found[tables[str(message.topic())]].append(cast(Consumed, message))
            elif message.error().code() == KafkaError._PARTITION_EOF:  # type: ignore[union-attr]
                left.discard((str(message.topic()), int(message.partition() or 0)))
    consumer.close()
    return {table: sorted(some, key=lambda r: (r.partition(), r.offset())) for table, some in found.items()}


def records(settings: Settings, contract: Contract) -> list[Consumed]:
    """All records of one contract's topic; none when there is no topic."""
    return records_of_all(settings, [contract])[contract.table]


def batches(settings: Settings) -> dict[str, Batch]:
    """Every contract's topic as a sink gets it, by table."""
    found = records_of_all(settings, TABLES.values())
    return {table: decode_batch(TABLES[table], table, some, settings.partitions) for table, some in found.items()}


def batch(settings: Settings, contract: Contract) -> Batch:
    """One contract's."""
    found = records(settings, contract)
    return decode_batch(contract, contract.topic(settings.topic_prefix), found, settings.partitions)


def latest(settings: Settings, contract: Contract) -> pl.DataFrame:
    """The latest row per key, by key, without those that are deleted."""
    return latest_of(batch(settings, contract))


def latest_of(found: Batch) -> pl.DataFrame:
    """As `latest`."""
    assert not found.rejected, [str(rejected.error) for rejected in found.rejected[:3]]
    return found.last_per_key().filter(pl.col(OP) != "d").drop(META).sort(found.contract.key)


def history_of(found: Batch) -> pl.DataFrame:
    """Every change of every key, in order: nothing lost, nothing doubled, nothing swapped if two of these are equal."""
    frame = found.frame
    return frame.drop([name for name in META if name != OP]).sort(found.contract.key, maintain_order=True)


def unlike_the_shop(shop: CapturedShop) -> list[str]:
    """Tables whose rows are not the latest of their topics."""
    found = batches(shop.settings)
    return [c.table for c in contracts() if not source_rows(shop, c).equals(latest_of(found[c.table]))]


def unlike_histories(here: Settings, there: Settings) -> list[str]:
    """Tables whose topics tell other changes."""
    ours, theirs = batches(here), batches(there)
    return [table for table in TABLES if not history_of(ours[table]).equals(history_of(theirs[table]))]


def source_rows(shop: CapturedShop, contract: Contract) -> pl.DataFrame:
    """What the shop's table holds, in the types of a batch."""
    schema = {name: kind for name, kind in frame_schema(contract).items() if name not in META}
    names = [column.name for column in contract.columns]
    query = sql.SQL("select {} from {}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(contract.table)
    )
    with shop.connect() as connection:
        rows: Sequence[Any] = connection.execute(query).fetchall()
    return pl.DataFrame(rows, schema=schema, orient="row").sort(contract.key)


def contracts() -> list[Contract]:
    """All of them, for parametrising."""
    return list(TABLES.values())
