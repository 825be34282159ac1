"""The rows of a table that no position delete covers, file by file, with the row number each has in its file.

`DeleteFiles` alone knows how a delete file is read: deletion vectors of format v3 would be read there too.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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

I64 = npt.NDArray[np.int64]

ROW = "_row"
SIDE_BY_SIDE = 8
KEPT_ROWS = 1 << 22  # deleted rows kept in memory, 8 bytes each


def live_rows(table: Table, columns: Sequence[str]) -> Iterator[tuple[DataFile, pl.DataFrame]]:
    """Per data file its live rows: the asked columns and `ROW`, the position in the file. One file in memory at a time.

    A column that a file lacks (it was added later) is null. The table's current snapshot is read.

    Raises:
        FileNotFoundError: a file that the table names is gone.
        Stopped: another engine wrote a data file that is not Parquet.
    """
    tasks = list(table.scan().plan_files())
    delete_files = {file.file_path for task in tasks for file in task.delete_files}
    deleted = DeleteFiles(table.io, sys.maxsize).rows(delete_files, {task.file.file_path for task in tasks})
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


def _read(io: FileIO, path: str, columns: Sequence[str]) -> pl.DataFrame:
    with io.new_input(path).open() as stream:
        file = pq.ParquetFile(stream)  # type: ignore[arg-type]  # PyIceberg promises less than it gives
        there = [name for name in columns if name in file.schema_arrow.names]
        rows = pl.DataFrame(pl.from_arrow(file.read(columns=there, use_threads=False)))
    return rows.with_columns([pl.lit(None).alias(name) for name in columns if name not in there]).select(columns)


class DeleteFiles:
    """Reads delete files, several at once, and remembers what they say: a file never changes.

    Of every file it remembers how many rows it deletes per data file; of the first `kept_rows` deletes also which. So a
    commit that is tried again reads only the delete files that came since.
    """

    def __init__(self, io: FileIO, kept_rows: int = KEPT_ROWS) -> None:
        self._io, self._most_kept = io, kept_rows
        self._counts: dict[str, Counter[str]] = {}
        self._kept: dict[str, dict[str, I64]] = {}
        self._kept_rows = 0

    def counts(self, path: str) -> Counter[str]:
        """Data file -> rows that this delete file deletes of it."""
        if path not in self._counts:
            self.load([path])
        return self._counts[path]

    def load(self, paths: Iterable[str]) -> None:
        """Read the files that are not known yet."""
        unknown = [path for path in paths if path not in self._counts]
        if not unknown:
            return
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for path, rows in zip(unknown, pool.map(self._read, unknown), strict=True):
                self._counts[path] = Counter({data_file: len(some) for data_file, some in rows.items()})
                size = self._counts[path].total()
                if self._kept_rows + size <= self._most_kept:
                    self._kept[path] = rows
                    self._kept_rows += size

    def rows(self, paths: Iterable[str], data_files: Collection[str]) -> dict[str, I64]:
        """Data file -> its deleted rows, sorted, each once; only of `data_files`, only those with some."""
        paths = list(paths)
        self.load(paths)
        found: dict[str, list[I64]] = defaultdict(list)
        for path in paths:
            wanted = self._counts[path].keys() & data_files
            rows = self._rows(path) if wanted else {}
            for data_file in wanted:
                found[data_file].append(rows[data_file])
        return {data_file: np.unique(np.concatenate(parts)) for data_file, parts in found.items()}

    def keep(self, paths: Collection[str]) -> None:
        """Forget all files but these."""
        self._counts = {path: counts for path, counts in self._counts.items() if path in paths}
        self._kept = {path: rows for path, rows in self._kept.items() if path in paths}
        self._kept_rows = sum(self._counts[path].total() for path in self._kept)

    def release(self) -> None:
        """Forget which rows are deleted; how many is remembered."""
        self._kept, self._kept_rows = {}, 0

    def _rows(self, path: str) -> dict[str, I64]:
        return self._kept[path] if path in self._kept else self._read(path)

    def _read(self, path: str) -> dict[str, I64]:
        parts: dict[str, list[I64]] = defaultdict(list)
        for batch in _batches(self._io, path):
            names, codes = _dictionary(batch)
            rows: Any = batch[DELETE_POS].to_numpy()
            for code in np.unique(codes).tolist():
                parts[names[code].as_py()].append(rows[codes == code].astype(np.int64))
        return {data_file: np.concatenate(some) for data_file, some in parts.items()}


def _batches(io: FileIO, path: str) -> Iterator[pa.RecordBatch]:
    with io.new_input(path).open() as stream:
        file = pq.ParquetFile(stream, read_dictionary=[DELETE_PATH])  # type: ignore[arg-type]  # PyIceberg promises less
        yield from file.iter_batches(batch_size=1 << 18, use_threads=False)


def _dictionary(batch: pa.RecordBatch) -> tuple[pa.Array[Any], npt.NDArray[np.int32]]:
    """The paths of a batch of deletes, and each row's number among them."""
    column: Any = batch[DELETE_PATH]
    return column.dictionary, column.indices.to_numpy()
