"""Lists of rows as a frame holds them: made of flat columns, one for each column of the rows."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from itertools import accumulate

import polars as pl
import pyarrow as pa


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
