"""Which lake partition a row belongs to, by column."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from pyiceberg.typedef import Record

from olist.contracts import Month

WHOLE = Record()


def split(frame: pl.DataFrame, partition_by: Month | None) -> Iterator[tuple[Record, pl.DataFrame]]:
    """The frame's rows by lake partition, in the frame's order within each. An empty frame has no parts."""
    if frame.is_empty():
        return
    if partition_by is None:
        yield WHOLE, frame
        return
    parts = frame.with_columns(_month(partition_by).alias("_part")).partition_by(
        "_part", as_dict=True, include_key=False
    )
    for (month,), part in sorted(parts.items(), key=str):
        yield Record(month), part


def _month(by: Month) -> pl.Expr:
    """Months since 1970-01, as Iceberg's month transform counts them."""
    moment = pl.col(by.column).dt
    return ((moment.year() - 1970) * 12 + moment.month().cast(pl.Int32) - 1).cast(pl.Int32)
