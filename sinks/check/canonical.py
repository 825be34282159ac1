"""Rows as text that is equal exactly when the rows are: what digests hash and what differences compare.

A cell is its value's exact text: integers, money and microseconds in digits, floats by their bits, a text by its length
in bytes and itself, null as ``~``. No two rows share a text: every cell says where it ends.
"""

from __future__ import annotations

import polars as pl

from olist.contracts import Column, Contract, Float, Text, Timestamp

NULL = "~"


def cell(column: Column) -> pl.Expr:
    """A column's values as exact text, null kept."""
    value = pl.col(column.name)
    match column.type:
        case Text():
            return value
        case Float():
            return value.reinterpret(signed=True).cast(pl.String)
        case Timestamp():
            return value.dt.epoch("us").cast(pl.String)
        case _:
            return value.cast(pl.String)


def row(contract: Contract) -> pl.Expr:
    """The whole row as one text."""
    return pl.concat_str([_ended(column) for column in contract.columns])


def _ended(column: Column) -> pl.Expr:
    text = cell(column)
    if isinstance(column.type, Text):
        text = pl.concat_str([text.str.len_bytes().cast(pl.String), pl.lit(":"), text])
    else:
        text = pl.concat_str([text, pl.lit(",")])
    return text.fill_null(NULL)
