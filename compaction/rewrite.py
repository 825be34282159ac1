"""Old data files to new ones: rows stream through, deleted ones stay behind, and each row's way is kept.

Memory: a few batches of rows, the runs of the sort (`sorting`) and 8 bytes per input row for the moves, which lie in a
file once they are large. What a file's schema lacks is null, what it has narrower is widened: columns are matched by
field id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.typedef import Record

from compaction.external_sort import sorted_frames
from compaction.table_stats import NotCompacted
from olist.lake.files import FileWriter, OpenDataFile
from olist.lake.key_index import pack, unpack
from olist.lake.row_moves import DROPPED, Moves, NewFile

I64 = npt.NDArray[np.int64]

ORIGIN = "_origin"  # number of the input file and row in it, packed
FIELD_ID = b"PARQUET:field_id"
NO_ID = -1
BATCH_ROWS = 1 << 16
AHEAD, SMALL_BYTES = 8, 1 << 20  # small files that are fetched before they are needed
ROW_GROUP_ROWS = 1 << 17
ROW_GROUP_BYTES = 16 << 20  # decoded
PROCESS_BYTES = 240 << 20  # measured: the libraries, a row group on its way in and out, and deletes that are kept

MOVE_BYTES = 24  # of a row of a group: where it went to, in memory and while it is written
DELETE_BYTES = 400  # of a deleted row that is merged: Arrow writes out its file's path beside it, and sorts copies


@dataclass(frozen=True)
class Budget:
    """What a rewrite may use: bytes of memory for its rows, and a folder for what does not fit."""

    memory: int
    spill: Path

    @property
    def run_bytes(self) -> int:
        """Rows that a sort holds at once: it needs them several times, beside the process and a row group or two."""
        return self._free_bytes // 12

    @property
    def delete_rows(self) -> int:
        """Deleted rows that are merged at once."""
        return self._free_bytes // DELETE_BYTES

    @property
    def group_rows(self) -> int:
        """Rows that are rewritten together: a quarter of the memory is for where each went to."""
        return self._free_bytes // 4 // MOVE_BYTES

    @property
    def _free_bytes(self) -> int:
        return max(self.memory - PROCESS_BYTES, PROCESS_BYTES // 4)


@dataclass
class Rewritten:
    """Data files and the files that hold their live rows now. Not yet committed."""

    old: list[DataFile] = field(default_factory=list)
    new: list[DataFile] = field(default_factory=list)
    moves: Moves = field(default_factory=lambda: Moves([], {}))


@dataclass(frozen=True)
class RewriteTask:
    """One group: input files of one lake partition, and their deleted rows by path."""

    files: Sequence[DataFile]
    deleted: Mapping[str, I64]
    spec_id: int
    partition: Record


def rewrite(
    table: Table,
    tasks: Iterable[RewriteTask],
    sort_by: Sequence[str],
    target_bytes: int,
    budget: Budget,
    pulse: Callable[[], object] = lambda: None,
) -> Rewritten:
    """Write the live rows of each task's files to new files of about `target_bytes`, sorted within the task.

    `pulse` is called with each batch of rows that is read or written.
    """
    # The system's allocator gives memory back; Arrow's own keeps some 15 MB more of it.
    pa.set_memory_pool(pa.system_memory_pool())
    done = Rewritten()
    new: list[NewFile] = []
    to: dict[str, I64] = {}
    for task in tasks:
        file_writer = FileWriter(table, table.schema(), table.specs()[task.spec_id])
        destinations = _Destinations(task.files, budget)
        outputs = _Outputs(file_writer, task.partition, target_bytes)
        with TemporaryDirectory(dir=budget.spill) as folder:
            frames: Iterable[pl.DataFrame] = _pulsing(_live_rows(table, file_writer.schema, task), pulse)
            if sort_by:
                frames = sorted_frames(frames, [*sort_by, ORIGIN], budget.run_bytes, Path(folder))
            for frame in _pulsing(_regrouped(frames), pulse):
                number, first = outputs.write(frame.drop(ORIGIN))
                destinations.put(frame[ORIGIN].to_numpy(), len(new) + number, first)
        files = outputs.close()
        new += [NewFile.of(file) for file in files]
        to |= destinations.moves()
        done.old += task.files
        done.new += files
    done.moves = Moves(new, to)
    return done


def _pulsing(frames: Iterable[pl.DataFrame], pulse: Callable[[], object]) -> Iterator[pl.DataFrame]:
    for frame in frames:
        pulse()
        yield frame


class _Destinations:
    """Where each input row went: one int64 per row, in memory or, once they are large, in an unlinked file."""

    def __init__(self, files: Sequence[DataFile], budget: Budget) -> None:
        self.files = files
        self._starts = np.cumsum([0, *(file.record_count for file in files)])
        rows = int(self._starts[-1])
        if rows * 8 > budget.memory // 8:
            with NamedTemporaryFile(dir=budget.spill) as file:
                self._to: I64 = np.memmap(file, dtype=np.int64, mode="w+", shape=(rows,))
            self._to[:] = DROPPED
        else:
            self._to = np.full(rows, DROPPED, dtype=np.int64)

    def put(self, origins: I64, number: int, first: int) -> None:
        """Rows with these origins are now rows `first`, `first` + 1, ... of new file `number`."""
        files, rows = unpack(origins)
        self._to[self._starts[files] + rows] = pack(number, np.arange(first, first + len(origins), dtype=np.int64))

    def moves(self) -> dict[str, I64]:
        """Old path -> per row its new location."""
        return {
            file.file_path: self._to[start : start + file.record_count]
            for file, start in zip(self.files, self._starts.tolist(), strict=False)
        }


class _Outputs:
    """New files of one lake partition, each closed when it has reached the target size."""

    def __init__(self, file_writer: FileWriter, partition: Record, target_bytes: int) -> None:
        self.file_writer, self.partition, self.target_bytes = file_writer, partition, target_bytes
        self._files: list[DataFile] = []
        self._open: OpenDataFile | None = None

    def write(self, rows: pl.DataFrame) -> tuple[int, int]:
        """Write rows; return the file's number here and the number of the first row in it."""
        if self._open is not None and self._open.size >= self.target_bytes:
            self._files.append(self._open.close())
            self._open = None
        if self._open is None:
            self._open = self.file_writer.open_data_file(self.partition)
        first = self._open.rows
        self._open.write(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
        pa.default_memory_pool().release_unused()
        return len(self._files), first

    def close(self) -> list[DataFile]:
        """Finish the last file and return all."""
        if self._open is not None:
            self._files.append(self._open.close())
        return self._files


def _live_rows(table: Table, schema: Schema, task: RewriteTask) -> Iterator[pl.DataFrame]:
    """The task's rows that are not deleted, in the schema's columns and with `ORIGIN`, some ten thousand at a time."""
    none = np.empty(0, dtype=np.int64)
    gone = [task.deleted.get(file.file_path, none) for file in task.files]
    wanted = [n for n, file in enumerate(task.files) if len(gone[n]) < file.record_count]
    for number, source in zip(wanted, _sources(table, [task.files[n] for n in wanted]), strict=True):
        keep = np.ones(task.files[number].record_count, dtype=bool)
        keep[gone[number]] = False
        row = 0
        for rows in _rows(source, schema, table.name()[-1]):
            here = keep[row : row + rows.num_rows]
            origins = pack(number, np.arange(row, row + rows.num_rows, dtype=np.int64))
            row += rows.num_rows
            frame = pl.DataFrame(pl.from_arrow(rows)).with_columns(pl.Series(ORIGIN, origins))
            yield frame if here.all() else frame.filter(pl.Series(here))


def _sources(table: Table, files: Sequence[DataFile]) -> Iterator[Any]:
    """The files in order, to be read by Parquet; small ones are fetched ahead, a few at once, and whole."""

    def fetch(file: DataFile) -> Any:
        stream = table.io.new_input(file.file_path).open()
        if file.file_size_in_bytes > SMALL_BYTES:
            return stream
        with stream:
            return pa.BufferReader(stream.read())

    with ThreadPoolExecutor(AHEAD) as pool:
        coming: deque[Future[Any]] = deque()
        for file in files:
            coming.append(pool.submit(fetch, file))
            if len(coming) > AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _rows(source: Any, schema: Schema, name: str) -> Iterator[pa.Table]:
    """A file's rows in the schema's columns and types, in batches. `name` is the table's."""
    wanted = schema_to_pyarrow(schema, include_field_ids=True)
    with source:
        file = pq.ParquetFile(source)
        name_of = {_field_id(column): column.name for column in file.schema_arrow}
        if NO_ID in name_of:  # its columns would be taken for missing ones, that is, for nulls
            raise NotCompacted(name, f"column {name_of[NO_ID]} of a data file has no field id (add_files?)")
        there = {column.name: name_of[_field_id(column)] for column in wanted if _field_id(column) in name_of}
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(there.values()), use_threads=False):
            columns = [
                batch[there[column.name]].cast(column.type)
                if column.name in there
                else pa.nulls(batch.num_rows, column.type)
                for column in wanted
            ]
            yield pa.table(columns, schema=wanted)


def _field_id(column: pa.Field[Any]) -> int:
    return int((column.metadata or {}).get(FIELD_ID, NO_ID))


def _regrouped(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames the size of a row group."""
    buffered: list[pl.DataFrame] = []
    rows = size = 0
    for frame in frames:
        for start in range(0, frame.height, ROW_GROUP_ROWS):
            part = frame[start : start + ROW_GROUP_ROWS]
            buffered.append(part)
            rows += part.height
            size += int(part.estimated_size())
            if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                yield pl.concat(buffered)
                buffered, rows, size = [], 0, 0
    if rows:
        yield pl.concat(buffered)
