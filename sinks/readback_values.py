"""A target's text back to the contract's types, exactly: what does not fit is an error, never rounded, never null."""

from __future__ import annotations

from typing import Any

import msgspec
import polars as pl

from olist.columns import as_lists, polars_type
from olist.contracts import Float, Integer, ListOf, Money, Text, Timestamp, Type
from olist.errors import Stopped

JSON_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.f"
_DECODE = msgspec.json.Decoder().decode


def typed(where: str, texts: pl.Series, kind: Type, time_format: str) -> pl.Series:
    """A column of text as the type's column; null stays null.

    Raises:
        Stopped: a text that is none of this type, named with `where` and the column.
    """
    match kind:
        case Text():
            return texts
        case Timestamp():
            values = texts.str.to_datetime(time_format, time_unit="us", strict=False)
        case Money(scale=scale):
            fits = texts.str.contains(rf"^-?\d+(\.\d{{1,{scale}}})?$")
            values = texts.set(~fits, None).cast(polars_type(kind), strict=False)
        case Integer() | Float():
            values = texts.cast(polars_type(kind), strict=False)
        case ListOf():
            return from_json(where, texts.name, kind, _decoded(where, texts, kind), JSON_TIME_FORMAT)
    wrong = texts.filter(values.is_null() & texts.is_not_null())
    if len(wrong):
        raise not_of_type(where, texts.name, wrong[0], kind)
    return values


def from_json(where: str, name: str, kind: Type, values: list[Any], time_format: str) -> pl.Series:
    """A column of what JSON decodes to: money and moments are strings there, a list holds objects.

    Raises:
        Stopped: as `typed`; also an object with a field that the contract does not know.
    """
    if isinstance(kind, ListOf):
        return _lists(where, name, kind, values, time_format)
    texts = isinstance(kind, Text | Money | Timestamp)
    if wrong := [v for v in values if v is not None and (isinstance(v, bool) or isinstance(v, str) != texts)]:
        raise not_of_type(where, name, wrong[0], kind)
    if texts:
        return typed(where, pl.Series(name, values, dtype=pl.String), kind, time_format)
    try:
        if isinstance(kind, Float):  # a whole one may be written without a point, and be longer than 64 bits
            values = [None if value is None else float(value) for value in values]
        return pl.Series(name, values, dtype=polars_type(kind), strict=True)
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
        raise not_of_type(where, name, str(error), kind) from error


def _lists(where: str, name: str, kind: ListOf, values: list[Any], time_format: str) -> pl.Series:
    if wrong := [v for v in values if not (v is None or isinstance(v, list))]:
        raise not_of_type(where, name, wrong[0], kind)
    rows = [row for value in values if value for row in value]
    names = {column.name for column in kind.columns}
    if wrong := [row for row in rows if not (isinstance(row, dict) and row.keys() <= names)]:
        raise not_of_type(where, name, wrong[0], kind)
    columns = [
        from_json(f"{where}.{name}", c.name, c.type, [row.get(c.name) for row in rows], time_format)
        for c in kind.columns
    ]
    return as_lists(name, columns, values)


def _decoded(where: str, texts: pl.Series, kind: Type) -> list[Any]:
    """What texts of JSON hold."""
    try:
        return [None if text is None else _DECODE(text) for text in texts.to_list()]
    except msgspec.DecodeError as error:
        raise not_of_type(where, texts.name, str(error), kind) from error


def not_of_type(where: str, column: str, value: object, kind: Type) -> Stopped:
    """A value that the contract's type cannot be: the table was altered, or written by somebody else."""
    return Stopped(f"{where}.{column} holds {value!r}, which is no {kind}")
