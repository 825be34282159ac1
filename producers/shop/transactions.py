"""A part of the sequence as the shop's transactions: statements with their values as text, vectorised, no database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import polars as pl

from olist.contracts import Column, Contract, Timestamp
from olist.tables import TABLES
from producers.life import PREVIOUS_STAGE, life_of
from producers.sequence import SEQ, TABLE, TX
from producers.shop.statements import insert, update, update_order

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
        images = life_of(contract).images(frames[contract.table], alike)
        texts = images.select(map(_text, contract.columns)).select(order or update_order(contract))
        for seq, tx, values in zip(alike[SEQ], alike[TX], texts.iter_rows(), strict=True):
            yield seq, tx, statement, values


def _text(column: Column) -> pl.Expr:
    """PostgreSQL reads every value from text; one type for all keeps each statement prepared once."""
    value = pl.col(column.name)
    if isinstance(column.type, Timestamp):
        return pl.from_epoch(value, time_unit="us").dt.strftime(CLOCK)
    return value.cast(pl.String)
