"""The warehouse's rows as a query reads them, as columns, a chunk at a time.

Out by COPY in CSV, which tells null (nothing) from the empty text (two quotes) and prints every value exactly; what
does not fit the contract's type is an error and never rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import psycopg

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Contract, Integer, Timestamp, Type
from olist.positions import Positions
from olist.settings import Settings
from sinks.postgres import positions as stored
from sinks.postgres.connection import connect, transaction
from sinks.postgres.schema import SCHEMA, listed, table_name
from sinks.readback import CHUNK_ROWS, Reading, names
from sinks.readback_values import typed

COLUMNS = b"SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
EXISTS = b"SELECT to_regclass(%s) IS NOT NULL"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S%.f"
TRACE_TYPES: dict[str, Type] = {PARTITION: Integer(32), OFFSET: Integer(64), COMMITTED_AT: Timestamp()}


@contextmanager
def read(contract: Contract, settings: Settings) -> Iterator[Reading | None]:
    """Rows and positions of one snapshot of the database; None when it has no such table.

    Raises:
        ServerTrouble: the server does not answer.
        Stopped: a value that is none of the contract's type.
    """
    with connect(settings.postgres_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with transaction(connection):
            there = {name for (name,) in connection.execute(COLUMNS, (SCHEMA, contract.table))}
            wanted = tuple(name for name in names(contract) if name in there)
            yield Reading(_positions(connection, contract), _chunks(connection, contract, wanted)) if there else None


def positions(contract: Contract, settings: Settings) -> Positions | None:
    """The table's positions; None when it has none.

    Raises:
        ServerTrouble: the server does not answer.
    """
    with connect(settings.postgres_url) as connection, transaction(connection):
        return _positions(connection, contract)


def _positions(connection: psycopg.Connection, contract: Contract) -> Positions | None:
    if connection.execute(EXISTS, (stored.TABLE,)).fetchone() != (True,):
        return None
    return stored.read(connection, contract.table)


def _chunks(connection: psycopg.Connection, contract: Contract, wanted: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    statement = f"COPY (SELECT {listed(wanted)} FROM {table_name(contract)}) TO STDOUT (FORMAT csv)"
    rows: list[bytes | bytearray | memoryview] = []  # the server sends a row at a time
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for row in copy:
            rows.append(row)
            if len(rows) == CHUNK_ROWS:
                yield _typed(contract, wanted, b"".join(rows))
                rows = []
    yield _typed(contract, wanted, b"".join(rows))


def _typed(contract: Contract, wanted: tuple[str, ...], text: bytes) -> pl.DataFrame:
    if text:
        columns = pl.read_csv(text, has_header=False, new_columns=list(wanted), infer_schema=False)
    else:
        columns = pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
    kinds: dict[str, Type] = {column.name: column.type for column in contract.columns} | TRACE_TYPES
    where = f"postgres {table_name(contract)}"
    return columns.select(typed(where, columns[name], kinds[name], TIME_FORMAT) for name in wanted)
