"""A batch on its way into a table: rows that PostgreSQL would refuse, the others as COPY reads them, the statements.

CSV keeps every text to the letter: polars writes null as nothing and the empty string as two quotes, which is how COPY
tells them apart; line breaks, quotes and commas stand in quotes; decimals and microseconds are written exactly.
"""

from __future__ import annotations

import re
from hashlib import blake2b

import numpy as np
import polars as pl
import psycopg
from numpy.typing import NDArray

from olist.batches import OFFSET, OP
from olist.contracts import Column, Contract, ListOf, Text
from sinks.base import Refusal
from sinks.column_json import json_text
from sinks.postgres.schema import TRACE, column_names, listed, quoted, sql_type, table_name

DELETED = "_deleted"

# Set before the first lock: a process that is stopped while it holds one must not stop the others for longer.
LIMIT_IDLE = b"SET LOCAL idle_in_transaction_session_timeout = '20s'"

BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"

LINE = re.compile(r"COPY \w+, line (\d+)")
QUOTE, NEWLINE = b'"\n'

# A btree entry holds 2,704 bytes (a third of a page); this leaves room for the other key columns' headers.
MOST_KEY_BYTES = 2600


def refused_rows(contract: Contract, frame: pl.DataFrame) -> list[Refusal]:
    """The rows that the server would refuse for what they hold: a NUL character, a key too long for its index."""
    texts = [column.name for column in contract.columns if isinstance(column.type, Text)]
    found = {
        row: f"{column.name} holds a NUL character, which PostgreSQL's text cannot"
        for column in contract.columns
        if (nul := _holds_nul(column)) is not None
        for row in frame.select(nul).to_series().arg_true()
    }
    keys = [pl.col(name).str.len_bytes() for name in texts if name in contract.key]
    if keys:
        long = frame.select(pl.sum_horizontal(keys) > MOST_KEY_BYTES).to_series().arg_true()
        found |= dict.fromkeys(long, f"the key is longer than the {MOST_KEY_BYTES} bytes that PostgreSQL can index")
    return [Refusal(row, found[row]) for row in sorted(found)]


def _holds_nul(column: Column, at: pl.Expr | None = None) -> pl.Expr | None:
    """Whether a text of the column, or in its lists, holds the character; None where it has no texts."""
    value = pl.col(column.name) if at is None else at
    match column.type:
        case Text():
            return value.str.contains("\0", literal=True)
        case ListOf(columns=columns):
            row = pl.element().struct
            each = [nul for one in columns if (nul := _holds_nul(one, row.field(one.name))) is not None]
            return value.list.eval(pl.any_horizontal(each)).list.any() if each else None
        case _:
            return None


def csv(contract: Contract, frame: pl.DataFrame) -> bytes:
    """The rows as COPY takes them, in the staging table's column order."""
    deleted = (pl.col(OP) == "d").alias(DELETED)
    lists = [json_text(column) for column in contract.columns if isinstance(column.type, ListOf)]
    return frame.with_columns(lists).select(*column_names(contract), deleted).write_csv(include_header=False).encode()


class CsvRows:
    """CSV that can be cut between any two of its rows."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._cuts: NDArray[np.int64] | None = None  # where rows begin, and the end; worked out when one is refused

    def between(self, first: int, end: int) -> bytes:
        """Some rows."""
        if first == 0 and self._cuts is None:
            return self._text
        cuts = self._found_cuts()
        return self._text[cuts[first] : cuts[end]]

    def row_of(self, error: psycopg.Error, first: int, end: int) -> int:
        """The row that the server names when it refuses some, by its line in them; the middle one if it names none."""
        cuts, named = self._found_cuts(), LINE.match(error.diag.context or "")
        if named is None:
            return (first + end) // 2
        inside = np.frombuffer(self._text[cuts[first] : cuts[end]], np.uint8)
        breaks = np.flatnonzero(inside == NEWLINE) + cuts[first]
        line_ends_at = breaks[min(int(named[1]), len(breaks)) - 1]
        return int(np.clip(np.searchsorted(cuts, line_ends_at, side="right") - 1, first, end - 1))

    def _found_cuts(self) -> NDArray[np.int64]:
        """A row ends with a line break outside quotes; a quote inside them is doubled."""
        if self._cuts is None:
            text = np.frombuffer(self._text, np.uint8)
            outside = np.cumsum(text == QUOTE) % 2 == 0
            self._cuts = np.concatenate(([0], np.flatnonzero((text == NEWLINE) & outside) + 1))
        return self._cuts


class Statements:
    """What one contract's table needs, as bytes for the driver."""

    def __init__(self, contract: Contract) -> None:
        table, names = table_name(contract), column_names(contract)
        columns = {column.name: sql_type(column.type) for column in contract.columns} | TRACE | {DELETED: "boolean"}
        # Types without constraints: of a delete only the key is there. Emptied by every COMMIT and ROLLBACK.
        shape = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
        # Named by its shape: a connection serves many tables, and outlives a contract's change.
        staged = f"pg_temp.staged_{blake2b(shape.encode(), digest_size=8).hexdigest()}"
        self.create_stage = f"CREATE TEMP TABLE IF NOT EXISTS {staged} ({shape}) ON COMMIT DELETE ROWS;".encode()
        self.copy = f"COPY {staged} ({listed(names)}, {DELETED}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')".encode()
        self.upsert = _upsert(contract, table, staged, names).encode()
        self.delete = _delete(contract, table, staged).encode()


def _upsert(contract: Contract, table: str, staged: str, names: tuple[str, ...]) -> str:
    """Insert or replace, unless the row there is newer. A key stays in its partition, so the offset alone tells."""
    values = tuple(name for name in names if name not in contract.key)
    return (
        f"INSERT INTO {table} AS t ({listed(names)}) SELECT {listed(names)} FROM {staged} WHERE NOT {DELETED} "
        f"ON CONFLICT ({listed(contract.key)}) DO UPDATE SET ({listed(values)}) = ROW ({listed(values, 'excluded.')}) "
        f"WHERE t.{quoted(OFFSET)} < excluded.{quoted(OFFSET)}"
    )


def _delete(contract: Contract, table: str, staged: str) -> str:
    """Remove the rows whose last change is a delete, unless the row there is newer."""
    same = " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in contract.key)
    older = f"t.{quoted(OFFSET)} < s.{quoted(OFFSET)}"
    return f"DELETE FROM {table} t USING {staged} s WHERE s.{DELETED} AND {same} AND {older}"
