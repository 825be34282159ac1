"""The CSV files as one more side of the comparison."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from olist.columns import polars_type
from olist.tables import TABLES


def read_files(data: Path) -> dict[str, pl.DataFrame]:
    """The CSV files' rows by table, typed as targets' rows are.

    Raises:
        BadInput: the files cannot be read, or a line that the contract refuses.
    """
    from olist.source import read

    frames = read(data)
    return {
        table: frame.cast({column.name: polars_type(column.type) for column in TABLES[table].columns})
        for table, frame in frames.items()
    }
