"""A part of the sequence as the shop's transactions: a contract's statements, and their values as text, vectorised.

Pure: no database is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl
from psycopg import sql

from olist.contracts import Column, Contract, Timestamp
from olist.tables import TABLES
from producers.row_histories import PREVIOUS_STAGE, history_of
from producers.sequence import SEQ, TABLE, TX

# The progress is one row, for ever: what a replay waits for, and what it finds changed by another one.
BEGIN = """
    insert into replay_progress as held (fingerprint, seq) values (%s, 0)
    on conflict (id) do update
        set fingerprint = case when held.fingerprint = '' then excluded.fingerprint else held.fingerprint end
    returning fingerprint, seq
"""
# Compare-and-set: a transaction that follows on a refused one, or on another process's, would set null and is refused.
# An update of no row would be no error: it is made one, a division by zero.
ADVANCE = """
    with moved as (
        update replay_progress set seq = case when seq = %s and fingerprint = %s then %s::bigint end returning seq
    )
    select 1 / count(*) from moved
"""
FORGET = """
    insert into replay_progress (fingerprint, seq) values ('', 0)
    on conflict (id) do update set fingerprint = excluded.fingerprint, seq = excluded.seq
"""


def insert(contract: Contract) -> str:
    """One row, its values in the contract's column order."""
    names = [column.name for column in contract.columns]
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(contract.table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(sql.Placeholder() * len(names)),
    )
    return statement.as_string()


def update(contract: Contract) -> str:
    """One row by its key, its values in `update_order`."""
    values = [name for name in update_order(contract) if name not in contract.key]
    statement = sql.SQL("update {} set {} where {}").format(
        sql.Identifier(contract.table),
        sql.SQL(", ").join(map(_equals, values)),
        sql.SQL(" and ").join(map(_equals, contract.key)),
    )
    return statement.as_string()


def update_order(contract: Contract) -> list[str]:
    """The columns in the order in which `update` takes their values: the key last."""
    return [*(c.name for c in contract.columns if c.name not in contract.key), *contract.key]


def delete_all(contract: Contract) -> str:
    """Every row, one by one as far as capture is concerned: a truncate would tell nobody which rows are gone."""
    return sql.SQL("delete from {}").format(sql.Identifier(contract.table)).as_string()


def _equals(name: str) -> sql.Composed:
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder())


CLOCK = "%Y-%m-%d %H:%M:%S%.6f"

Values = tuple[str | None, ...]


@dataclass(frozen=True)
class Transaction:
    """What the shop does at once. `before` is the number of the change before it, `after` that of its last."""

    before: int
    after: int
    statements: list[tuple[str, Values]] = field(default_factory=list)


def slices(changes: pl.DataFrame, most: int) -> Iterator[pl.DataFrame]:
    """Parts of about `most` changes that cut no transaction in two; a longer transaction is a part of its own."""
    numbers = changes[TX].to_numpy()
    ends = np.append(np.flatnonzero(np.diff(numbers)) + 1, len(numbers))
    cuts = [0]
    while cuts[-1] < len(numbers):
        fitting = int(np.searchsorted(ends, cuts[-1] + most, side="right"))
        following = int(np.searchsorted(ends, cuts[-1], side="right"))
        cuts.append(int(ends[max(fitting - 1, following)]))
    for start, end in pairwise(cuts):
        yield changes[start:end]


def first_transactions(changes: pl.DataFrame, most: int) -> pl.DataFrame:
    """The first changes, at most so many unless the first transaction alone is longer, that cut none in two."""
    return next(slices(changes, most), changes) if most else changes.clear()


def transactions(frames: Mapping[str, pl.DataFrame], changes: pl.DataFrame, before: int) -> list[Transaction]:
    """Consecutive changes, grouped by `TX`; `before` is the number of the last change that is done.

    Raises:
        ValueError: the first of the changes is not the one after it; those between would never be written.
    """
    made: list[Transaction] = []
    parts = sorted((row for contract in TABLES.values() for row in _rows(contract, frames, changes)), key=_number)
    if parts and _number(parts[0]) != before + 1:
        raise ValueError(f"change {_number(parts[0])} does not follow on change {before}")
    number = None
    for seq, tx, statement, values in parts:
        if tx != number:
            made.append(Transaction(made[-1].after if made else before, seq))
            number = tx
        made[-1].statements.append((statement, values))
        made[-1] = Transaction(made[-1].before, seq, made[-1].statements)
    return made


def _number(row: tuple[int, int, str, Values]) -> int:
    return row[0]


def _rows(
    contract: Contract, frames: Mapping[str, pl.DataFrame], changes: pl.DataFrame
) -> Iterator[tuple[int, int, str, Values]]:
    """A table's changes: number, transaction, statement, values."""
    mine = changes.filter(pl.col(TABLE) == list(TABLES).index(contract.table))
    created = pl.col(PREVIOUS_STAGE).is_null()
    names = [column.name for column in contract.columns]
    kinds = ((mine.filter(created), insert(contract), names), (mine.filter(~created), update(contract), None))
    for alike, statement, order in kinds:
        images = history_of(contract).images(frames[contract.table], alike)
        texts = images.select(map(_text, contract.columns)).select(order or update_order(contract))
        for seq, tx, values in zip(alike[SEQ], alike[TX], texts.iter_rows(), strict=True):
            yield seq, tx, statement, values


def _text(column: Column) -> pl.Expr:
    """PostgreSQL reads every value from text; one type for all keeps each statement prepared once."""
    value = pl.col(column.name)
    if isinstance(column.type, Timestamp):
        return pl.from_epoch(value, time_unit="us").dt.strftime(CLOCK)
    return value.cast(pl.String)
