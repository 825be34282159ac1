"""Rows as text that is equal exactly when the rows are: what digests hash and what differences compare.

A cell is its value's exact text: integers, money and microseconds in digits, floats by their bits, a text by its length
in bytes and itself, a list by the number of its rows and their cells, null as ``~``. No two rows share a text: every
cell says where it ends.
"""

from __future__ import annotations

import polars as pl

from olist.contracts import Column, Contract, Float, ListOf, Text, Timestamp

NULL = "~"


def cell(column: Column, at: pl.Expr | None = None) -> pl.Expr:
    """A column's values, or those of the expression `at`, as exact text, null kept."""
    value = pl.col(column.name) if at is None else at
    match column.type:
        case Text():
            return value
        case Float():
            return value.reinterpret(signed=True).cast(pl.String)
        case Timestamp():
            return value.dt.epoch("us").cast(pl.String)
        case ListOf(columns=columns):
            inner = pl.element().struct
            rows = value.list.eval(pl.concat_str([_ended(one, inner.field(one.name)) for one in columns]))
            return pl.concat_str([value.list.len().cast(pl.String), pl.lit(":"), rows.list.join("")])
        case _:
            return value.cast(pl.String)


def row(contract: Contract) -> pl.Expr:
    """The whole row as one text."""
    return pl.concat_str([_ended(column) for column in contract.columns])


def _ended(column: Column, at: pl.Expr | None = None) -> pl.Expr:
    text = cell(column, at)
    match column.type:
        case Text():
            text = pl.concat_str([text.str.len_bytes().cast(pl.String), pl.lit(":"), text])
        case ListOf():
            pass  # the number of rows before them says where they end
        case _:
            text = pl.concat_str([text, pl.lit(",")])
    return text.fill_null(NULL)
