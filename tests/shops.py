"""A shop of a test's own that Debezium captures: its database, its connector, its topics, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import polars as pl
import psycopg
from psycopg import sql

from connect.apply import apply, bootstrap, check
from connect.capture import until_caught_up, until_snapshot_done
from connect.postgres import Config, connector_name, render, slot_name
from connect.watch import until_gone, until_idle
from connect.worker import Worker
from olist.batches import META, OP, Batch, decode_batch, frame_schema
from olist.contracts import Contract
from olist.errors import Stopped
from olist.settings import Settings
from olist.shop import connect
from olist.source import Dataset
from olist.stack.slots import drop
from olist.tables import TABLES
from olist.topics.admin import admin_client, topic_state
from olist.topics.reading import Consumed, read
from producers.pace import Pace
from producers.replay import Progress
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
        self.worker = Worker(settings.connect_url)
        self.name = connector_name(settings)
        migrate(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.worker.config(self.name) is not None:
            self.remove_connector()
        name = urlsplit(self.settings.shop_url).path.lstrip("/")
        # Not as the shop's user: an autovacuum that is under way is the administrator's to end.
        with psycopg.connect(administrators_url(self.settings), autocommit=True) as beside:
            beside.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def remove_connector(self) -> None:
        """`olist connect delete --drop-slot`."""
        self.worker.ask(self.name, "stop")
        until_idle(self.worker, self.name)
        self.worker.forget_offsets(self.name)
        self.worker.delete(self.name)
        until_gone(self.worker, self.name)
        drop(self.settings, slot_name(self.settings))

    def capture(self, **different: str) -> list[str]:
        """`olist connect apply`; returns what it says."""
        config: Config = {**render(self.settings), **{key.replace("__", "."): v for key, v in different.items()}}
        said: list[str] = []
        was_there = self.worker.config(self.name) is not None
        apply(self.worker, config, said.append, lambda: True)
        bootstrap(self.settings, self.worker, self.name, was_there, said.append)
        return said

    def check(self) -> None:
        """Fail when the connector has."""
        check(self.settings, self.worker, self.name)

    def wait(self) -> None:
        """Until all that is committed is on the topics."""
        until_caught_up(self.settings, WITHIN_S, self.check)

    def wait_for_snapshot(self) -> None:
        """Until no incremental snapshot is under way either."""
        until_snapshot_done(self.settings, WITHIN_S, self.check, lambda: self.worker.offsets(self.name))

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


def records(settings: Settings, contract: Contract) -> list[Consumed]:
    """All records of a contract's topic, read_committed; none when there is no topic."""
    topic = contract.topic(settings.topic_prefix)
    try:
        state = topic_state(admin_client(settings.kafka_bootstrap), topic)
    except Stopped:
        return []
    return [r for some in read(settings.kafka_bootstrap, topic, state.first, state.end) for r in some]


def batch(settings: Settings, contract: Contract) -> Batch:
    """As a sink gets them."""
    found = sorted(records(settings, contract), key=lambda r: (r.partition(), r.offset()))
    return decode_batch(contract, contract.topic(settings.topic_prefix), found)


def latest(settings: Settings, contract: Contract) -> pl.DataFrame:
    """The latest row per key, by key, without those that are deleted."""
    found = batch(settings, contract)
    assert not found.rejected, [str(rejected.error) for rejected in found.rejected[:3]]
    return found.last_per_key().filter(pl.col(OP) != "d").drop(META).sort(contract.key)


def histories(settings: Settings, contract: Contract) -> pl.DataFrame:
    """Every change of every key, in order: nothing lost, nothing doubled, nothing swapped if two of these are equal."""
    frame = batch(settings, contract).frame
    return frame.drop([name for name in META if name != OP]).sort(contract.key, maintain_order=True)


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
