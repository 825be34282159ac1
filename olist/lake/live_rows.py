"""The rows of a table that no position delete covers, file by file, with the row number each has in its file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.table import Table

from olist.errors import Stopped
from olist.lake.files import DELETE_PATH, DELETE_POS

ROW = "_row"


def live_rows(table: Table, columns: Sequence[str]) -> Iterator[tuple[DataFile, pl.DataFrame]]:
    """Per data file its live rows: the asked columns and `ROW`, the position in the file. One file in memory at a time.

    A column that a file lacks (it was added later) is null. The table's current snapshot is read.
    """
    tasks = list(table.scan().plan_files())
    deleted = _deleted_rows(table.io, [f for task in tasks for f in task.delete_files])
    for task in tasks:
        if task.file.file_format != FileFormat.PARQUET:
            raise Stopped(
                f"{task.file.file_path} is of format {task.file.file_format}, which another engine wrote; "
                "this platform reads Parquet",
                hint="have that engine write it again with write.format.default=parquet",
            )
        frame = _read(table.io, task.file.file_path, columns).with_row_index(ROW)
        gone = deleted.get(task.file.file_path)
        if gone is not None:
            keep = np.ones(frame.height, dtype=bool)
            keep[gone] = False
            frame = frame.filter(pl.Series(keep))
        yield task.file, frame


def _deleted_rows(io: FileIO, delete_files: Sequence[DataFile]) -> dict[str, npt.NDArray[np.int64]]:
    """Data file path -> deleted rows, over all delete files; each is read once."""
    found: dict[str, list[npt.NDArray[np.int64]]] = defaultdict(list)
    for path in {delete_file.file_path for delete_file in delete_files}:
        deletes = pl.DataFrame(pl.from_arrow(_read_arrow(io, path, [DELETE_PATH, DELETE_POS])))
        for (data_path,), rows in deletes.group_by(DELETE_PATH):
            found[str(data_path)].append(rows[DELETE_POS].to_numpy())
    return {path: np.concatenate(rows) for path, rows in found.items()}


def _read(io: FileIO, path: str, columns: Sequence[str]) -> pl.DataFrame:
    rows = pl.DataFrame(pl.from_arrow(_read_arrow(io, path, columns)))
    absent = [name for name in columns if name not in rows.columns]
    return rows.with_columns([pl.lit(None).alias(name) for name in absent]).select(columns)


def _read_arrow(io: FileIO, path: str, columns: Sequence[str]) -> pa.Table:
    with io.new_input(path).open() as stream:
        file = pq.ParquetFile(stream)  # type: ignore[arg-type]  # PyIceberg promises less than it gives
        there = [name for name in columns if name in file.schema_arrow.names]
        return file.read(columns=there, use_threads=False)
