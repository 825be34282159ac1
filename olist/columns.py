"""A contract's columns in a frame: their types, and series of decoded values that hold them to the letter."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence, Sized
from contextlib import suppress
from decimal import Decimal
from itertools import accumulate
from operator import attrgetter
from typing import Any

import polars as pl
import pyarrow as pa

from olist.changes import UNAVAILABLE
from olist.contracts import Column, Float, Integer, ListOf, Money, Row, Text, Timestamp, Type, inside


def polars_type(kind: Type) -> pl.DataType:
    """The frame's type of a contract type."""
    match kind:
        case Text():
            return pl.String()
        case Integer(bits=bits):
            return pl.Int32() if bits == 32 else pl.Int64()
        case Float():
            return pl.Float64()
        case Money(precision=precision, scale=scale):
            return pl.Decimal(precision, scale)
        case Timestamp():
            return pl.Datetime("us")
        case ListOf(columns=columns):
            return pl.List(pl.Struct({column.name: polars_type(column.type) for column in columns}))


def series_of(column: Column, values: list[Any], bad: dict[int, str]) -> pl.Series:
    """A flat column of decoded values; `bad` learns why a value is none of it, by place."""
    if isinstance(column.type, Money):
        return decimals_of(column, column.type, values, bad)
    series = pl.Series(column.name, values, dtype=polars_type(column.type), strict=True)
    if isinstance(column.type, Text):
        for row in (series == UNAVAILABLE).arg_true():
            bad[row] = f"{column.name} was not captured; the source table needs REPLICA IDENTITY FULL"
    return series


def lists_of(column: Column, kind: ListOf, values: list[list[Row] | None], bad: dict[int, str]) -> pl.Series:
    """A column of lists, by way of flat columns of the rows in all of them."""
    rows = [row for value in values if value for row in value]
    bad_rows: dict[int, str] = {}
    columns = [_unsigned_zeros(series_of(c, list(map(attrgetter(c.name), rows)), bad_rows)) for c in kind.columns]
    ends = ends_of(values) if bad_rows else []
    for row, problem in sorted(bad_rows.items(), reverse=True):  # so that a list's first problem is the one told
        at = bisect_right(ends, row) - 1
        bad[at] = inside(column.name, row - ends[at], problem)
    return as_lists(column.name, columns, values)


def _unsigned_zeros(series: pl.Series) -> pl.Series:
    """-0.0 as 0.0: a list is JSON in the warehouse, whose numbers know one zero, and all targets hold the same."""
    return series.set(series == 0.0, 0.0) if series.dtype == pl.Float64 else series


def decimals_of(
    column: Column,
    kind: Money,
    values: list[Decimal | None],
    bad: dict[int, str],
    doubt: Callable[[int], str] = lambda _row: "",
) -> pl.Series:
    """A money column; `doubt` is asked for rows whose value is not spelt with the column's own scale.

    Arrow sees only decimals of that scale and size. It must not see others: it rounds 1.23E-39 to nothing without a
    word and dies of 1E-100000000.
    """
    unit, known = Decimal(1).scaleb(-kind.scale), [value for value in values if value is not None]
    if all(map(unit.same_quantum, known)):
        with suppress(pa.ArrowInvalid):  # one has too many digits
            return _as_money(column, kind, values)
    problems = {i: column.problem(value) or doubt(i) for i, value in enumerate(values)}
    bad.update({i: problem for i, problem in problems.items() if problem})
    return _as_money(
        column, kind, [None if v is None or problems[i] else v.quantize(unit) for i, v in enumerate(values)]
    )


def _as_money(column: Column, kind: Money, values: list[Decimal | None]) -> pl.Series:
    array = pa.array(values, type=pa.decimal128(kind.precision, kind.scale))
    return pl.Series(column.name, pl.from_arrow(array))


def ends_of(lists: Sequence[Sized | None]) -> list[int]:
    """Where each list begins among the rows of all of them, and, last, where the last one ends."""
    return [0, *accumulate(len(one) if one else 0 for one in lists)]


def as_lists(name: str, columns: Sequence[pl.Series], lists: Sequence[Sized | None]) -> pl.Series:
    """The series of `lists` from the columns of all their rows, in order; None is null, and an empty one stays empty.

    Arrow cuts the columns, so that decimals and moments inside are those of the columns to the last digit.
    """
    arrays = [series.to_arrow(compat_level=pl.CompatLevel.oldest()) for series in columns]
    structs = pa.StructArray.from_arrays(arrays, names=[series.name for series in columns])
    ends = pa.array(ends_of(lists), type=pa.int64())
    null = pa.array([one is None for one in lists], type=pa.bool_())
    return pl.Series(name, pl.from_arrow(pa.LargeListArray.from_arrays(ends, structs, mask=null)))
