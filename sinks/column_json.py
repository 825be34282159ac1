"""Contract columns as JSON: their values as targets hold them, and their types as targets note them.

Values: moments in ISO 8601 to the microsecond, money as strings, lists as arrays. Types: what a target writes down of
columns that its own types do not tell apart, and reads again when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from olist.contracts import Column, Float, Integer, ListOf, Money, Text, Timestamp, Type

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%.6f"  # polars' own JSON has a space where OpenSearch wants a T


def json_value(column: Column, at: pl.Expr | None = None) -> pl.Expr:
    """The column, or the expression `at`, so that polars' JSON of it is the target's."""
    value = (pl.col(column.name) if at is None else at).alias(column.name)
    match column.type:
        case Timestamp():
            return moment(value)
        case ListOf(columns=columns):
            row = pl.element().struct
            return value.list.eval(pl.struct(json_value(one, row.field(one.name)) for one in columns))
        case _:
            return value


def moment(value: pl.Expr) -> pl.Expr:
    """ISO 8601."""
    return value.dt.to_string(TIME_FORMAT)


def json_text(column: Column) -> pl.Expr:
    """A column's values as JSON by themselves; null stays null."""
    whole = pl.struct(json_value(column).alias("_")).struct.json_encode()
    text = whole.str.strip_prefix('{"_":').str.strip_suffix("}")
    return pl.when(pl.col(column.name).is_not_null()).then(text).alias(column.name)


def columns_json(columns: Iterable[Column]) -> list[list[Any]]:
    """``[name, type, nullable]`` each."""
    return [[column.name, _type_name(column.type), column.nullable] for column in columns]


def columns_from_json(note: Any) -> tuple[Column, ...]:
    """The columns of a note.

    Raises:
        ValueError, TypeError, KeyError: it is no such note.
    """
    return tuple(Column(name, _type_named(kind), bool(nullable)) for name, kind, nullable in note)


def _type_name(kind: Type) -> str | dict[str, Any]:
    """A contract type as one word; of a list, ``{"list": columns}``."""
    match kind:
        case Text(language=language):
            return f"text:{language}" if language else "text"
        case Integer(bits=bits):
            return f"integer:{bits}"
        case Float():
            return "float"
        case Money(precision=precision, scale=scale):
            return f"money:{precision}:{scale}"
        case Timestamp():
            return "timestamp"
        case ListOf(columns=columns):
            return {"list": columns_json(columns)}


def _type_named(name: str | dict[str, Any]) -> Type:
    """The type that `_type_name` calls so.

    Raises:
        ValueError, TypeError, KeyError: there is none.
    """
    if isinstance(name, dict):
        return ListOf(columns_from_json(name["list"]))
    match name.split(":"):
        case ["text"]:
            return Text()
        case ["text", language]:
            return Text(language)
        case ["integer", "32"]:
            return Integer(32)
        case ["integer", "64"]:
            return Integer(64)
        case ["float"]:
            return Float()
        case ["money", precision, scale]:
            return Money(int(precision), int(scale))
        case ["timestamp"]:
            return Timestamp()
        case _:
            raise ValueError(f"no contract type is called {name!r}")
