"""A warehouse of a test's own: a database on the stack's PostgreSQL, where the real sink writes a whole data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import polars as pl
import psycopg
from psycopg import sql

from olist.batches import decode_batch
from olist.changes import codec
from olist.contracts import Contract, Row
from olist.positions import Positions
from olist.settings import Settings
from olist.source import iter_rows
from olist.tables import TABLES
from producers.generation.dataset import generate
from sinks.postgres.table import PostgresTable
from tests.records import FakeRecord
from tests.waiting import wait_until
from tests.written import envelope

REAL_DATA = Path(__file__).parents[2] / "shared" / "olist" / "brazilian-ecommerce.zip"
ORDERS_MADE = 3000
TOPIC, TOPIC_ID = "marts", "made-once"


def real_or_generated(folder: Path) -> Path:
    """The real orders' files where they are at hand, else generated ones."""
    if REAL_DATA.exists():
        return REAL_DATA
    generate(folder / "data", ORDERS_MADE, 1, lambda _done: None)
    return folder / "data"


@contextmanager
def own_warehouse(settings: Settings) -> Iterator[Settings]:
    """Settings of an empty database, which is removed at the end."""
    name = f"marts_{uuid4().hex[:8]}"
    with psycopg.connect(settings.postgres_url, autocommit=True) as beside:
        beside.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield settings.model_copy(
            update={"postgres": urlsplit(settings.postgres_url)._replace(path=f"/{name}").geturl()}
        )
        wait_until(lambda: _dropped(beside, name), f"the end of the database {name}")


def _dropped(beside: psycopg.Connection, name: str) -> bool:
    """Drop a database; False while the server's own vacuum is at work in it, which only a superuser may end."""
    try:
        beside.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def write_all(settings: Settings, frames: Mapping[str, pl.DataFrame], contracts: Iterable[Contract]) -> None:
    """Every row of these tables as a record, decoded and written as the sink does."""
    for contract in contracts:
        write(settings, contract, iter_rows(contract, frames[contract.table]))


def write_none(settings: Settings) -> None:
    """The shop's tables, empty."""
    for contract in TABLES.values():
        write(settings, contract, [])


def write(settings: Settings, contract: Contract, rows: Iterable[Row], op: str = "c") -> None:
    """One batch of changes; with ``d`` the rows are deleted."""
    table = PostgresTable(contract, settings.postgres_url)
    held = table.open() or Positions.start(TOPIC, TOPIC_ID, 1)
    records = [
        FakeRecord(key, envelope(contract, op, None if op == "d" else row), offset)
        for offset, row in enumerate(rows, held.next[0])
        for key in [codec(contract).encode_key(codec(contract).key_of(row))]
    ]
    batch = decode_batch(contract, TOPIC, records, 1)
    assert not batch.rejected
    staged = table.stage(batch)
    assert not staged.refused
    table.commit(staged, held)
    table.close()


def ask(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    """Rows of a query; of a statement that gives none, an empty list."""
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []
