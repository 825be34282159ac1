"""The warehouse's rows as a query reads them, as columns.

Out by COPY in CSV, which tells null (nothing) from the empty text (two quotes) and prints every value exactly; what
does not fit the contract's type is an error and never rounded.
"""

from __future__ import annotations

import polars as pl
import psycopg

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Contract, Integer, Timestamp, Type
from olist.positions import Positions
from olist.settings import Settings
from sinks.check.held import Held, names
from sinks.check.typed import typed
from sinks.postgres import positions as stored
from sinks.postgres.connection import connect, transaction
from sinks.postgres.ddl import SCHEMA, listed, table_name

COLUMNS = b"SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
EXISTS = b"SELECT to_regclass(%s) IS NOT NULL"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S%.f"
TRACE_TYPES: dict[str, Type] = {PARTITION: Integer(32), OFFSET: Integer(64), COMMITTED_AT: Timestamp()}


def read(contract: Contract, settings: Settings) -> Held | None:
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
            if not there:
                return None
            wanted = tuple(name for name in names(contract) if name in there)
            held = _positions(connection, contract)
            text = _copy(
                connection, f"COPY (SELECT {listed(wanted)} FROM {table_name(contract)}) TO STDOUT (FORMAT csv)"
            )
    return Held(_typed(contract, wanted, text), held)


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


def _copy(connection: psycopg.Connection, statement: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        return b"".join(copy)


def _typed(contract: Contract, wanted: tuple[str, ...], text: bytes) -> pl.DataFrame:
    if text:
        columns = pl.read_csv(text, has_header=False, new_columns=list(wanted), infer_schema=False)
    else:
        columns = pl.DataFrame(schema=dict.fromkeys(wanted, pl.String))
    kinds: dict[str, Type] = {column.name: column.type for column in contract.columns} | TRACE_TYPES
    where = f"postgres {table_name(contract)}"
    return columns.select(typed(where, columns[name], kinds[name], TIME_FORMAT) for name in wanted)
