"""A target's text back to the contract's types, exactly: what does not fit is an error, never rounded, never null."""

from __future__ import annotations

import polars as pl

from olist.batches import polars_type
from olist.contracts import Float, Integer, Money, Text, Timestamp, Type
from olist.errors import Stopped


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
    wrong = texts.filter(values.is_null() & texts.is_not_null())
    if len(wrong):
        raise not_of_type(where, texts.name, wrong[0], kind)
    return values


def not_of_type(where: str, column: str, value: object, kind: Type) -> Stopped:
    """A value that the contract's type cannot be: the table was altered, or written by somebody else."""
    return Stopped(f"{where}.{column} holds {value!r}, which is no {kind}")
