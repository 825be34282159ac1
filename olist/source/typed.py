"""Text columns to the contract's types, vectorised; a field that does not fit is named by line and column.

The rules, per type (nothing is trimmed, rounded or guessed):

- text: to the letter. An empty field is null; ``""`` in quotes is the empty text.
- integers: digits with an optional minus, within the contract's bits. ``1.0`` is refused.
- money: at most the contract's decimals, never an exponent; a frame holds it as `pl.Decimal`.
- timestamps: ``YYYY-MM-DD HH:MM:SS``; a frame holds int64 microseconds since 1970, which is what the wire carries, so
  nothing is converted again on the way out.
- floats: finite.

Geolocation's documented reduction is here too: one row per zip prefix from many points and exact duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap

import polars as pl

from olist.columns import polars_type
from olist.contracts import Column, Contract, Float, Integer, ListOf, Money, Row, Text, Timestamp, Type
from olist.errors import BadRow, ContractRefused
from olist.source.layout import MEND, Layout
from olist.tables import GEOLOCATION


class ColumnNames:
    """``names.order_approved_at`` is ``"order_approved_at"``; a name the contract lacks is an `AttributeError`."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._names = frozenset(column.name for column in contract.columns)

    def __getattr__(self, name: str) -> str:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"table {self._contract.table} has no column {name}")
        return name


TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
TIME_SHAPE = r"^\d{4}-\d\d-\d\d \d\d:\d\d:[0-5]\d$"
SHOWN_CHARS = 60


def frame_type(kind: Type) -> pl.DataType:
    """What a frame holds a contract's type as: what a batch does, and a timestamp as the wire's microseconds."""
    return pl.Int64() if isinstance(kind, Timestamp) else polars_type(kind)


def frame_schema(contract: Contract) -> dict[str, pl.DataType]:
    """The columns of a table's frame, in contract order."""
    return {column.name: frame_type(column.type) for column in contract.columns}


def typed(contract: Contract, text: pl.DataFrame, layout: Layout) -> pl.DataFrame:
    """The typed frame of a frame of text columns.

    Raises:
        BadRow: the first field, by line, that its column cannot hold.
    """
    frame = text.select(_parse(column).alias(column.name) for column in contract.columns)
    bad = [(row, column) for column in contract.columns for row in _first_bad(column, text, frame)]
    if bad:
        row, column = min(bad, key=lambda found: found[0])
        reason = _reason(column, text[column.name][row])
        raise BadRow(layout.file, layout.line(row), column.name, reason, hint=MEND)
    return frame


def iter_rows(contract: Contract, frame: pl.DataFrame) -> Iterator[Row]:
    """The contract's rows of its typed frame, in order."""
    names = [column.name for column in contract.columns]
    return starmap(contract.row, frame.select(names).iter_rows())


def _parse(column: Column) -> pl.Expr:
    """The typed column; null where the text does not fit."""
    text = pl.col(column.name)
    match column.type:
        case Text():
            return text
        case Integer():
            return _where(text, r"^-?\d+$").cast(frame_type(column.type), strict=False)
        case Money(precision=precision, scale=scale):
            shape = rf"^-?\d{{1,{precision - scale}}}(\.\d{{1,{scale}}})?$"
            return _where(text, shape).cast(frame_type(column.type), strict=False)
        case Timestamp():
            return (
                _where(text, TIME_SHAPE)
                .str.to_datetime(TIME_FORMAT, time_unit="us", strict=False)
                .dt.epoch(time_unit="us")
            )
        case Float():
            number = text.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case ListOf():
            raise ContractRefused(f"column {column.name}: a file of fields has no lists")


def _where(text: pl.Expr, shape: str) -> pl.Expr:
    return pl.when(text.str.contains(shape)).then(text)


def _first_bad(column: Column, text: pl.DataFrame, frame: pl.DataFrame) -> list[int]:
    """The first row whose field is null where it must not be, or was not understood."""
    null = frame[column.name].is_null()
    bad = (null & text[column.name].is_not_null() if column.nullable else null).arg_true()
    return bad.head(1).to_list()


def _reason(column: Column, field: str | None) -> str:
    """What is wrong with a field, with the field."""
    if field is None:
        return "empty, and the contract allows no null here"
    shown = repr(field if len(field) <= SHOWN_CHARS else field[:SHOWN_CHARS] + "...")
    match column.type:
        case Integer(bits=bits):
            return f"{shown} is not a whole number of {bits} bits"
        case Money(precision=precision, scale=scale):
            return f"{shown} is not a decimal of up to {precision - scale} digits before and {scale} after the point"
        case Timestamp():
            return f"{shown} is not a time as YYYY-MM-DD HH:MM:SS"
        case _:
            return f"{shown} is not a finite number"


DECIMALS = 6  # of a degree: 0.1 m


def reduce_geolocation(points: pl.DataFrame) -> pl.DataFrame:
    """One row per zip prefix, ordered by prefix, whatever the order of the points.

    Latitude and longitude are the medians of the prefix's distinct points; city and state are the pair that most of
    its lines name, ties broken alphabetically.
    """
    names = ColumnNames(GEOLOCATION)
    zip_prefix = names.geolocation_zip_code_prefix
    point = [names.geolocation_lat, names.geolocation_lng]
    place = [names.geolocation_city, names.geolocation_state]
    centres = points.unique([zip_prefix, *point]).group_by(zip_prefix).agg(pl.col(point).median().round(DECIMALS))
    places = (
        points.group_by(zip_prefix, *place)
        .agg(pl.len().alias("lines"))
        .sort("lines", *place, descending=[True, False, False])
        .unique(zip_prefix, keep="first", maintain_order=True)
    )
    return centres.join(places, on=zip_prefix).sort(zip_prefix).select(*frame_schema(GEOLOCATION))
