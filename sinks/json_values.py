"""Values as the targets' JSON holds them: moments in ISO 8601 to the microsecond, money as strings, lists as arrays."""

from __future__ import annotations

import polars as pl

from olist.contracts import Column, ListOf, Timestamp

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
