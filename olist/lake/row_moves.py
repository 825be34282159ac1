"""Where the rows of rewritten data files went: left beside a rewrite, so that writers follow it without a rebuild.

A file of moves is Parquet: one int64 per row of the old files, in order, which packs (number of the new file, row in
it) or says `DROPPED`; the footer names the files. The snapshot of the rewrite points at it in its summary (`MOVES`),
and it lives as long as that snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record

from olist.lake.key_index import ROW_BITS

I64 = npt.NDArray[np.int64]

MOVES = "olist.rewrite.moves"  # snapshot summary: the path of the rewrite's file of moves
DROPPED = -1  # the row was deleted before the rewrite and is in no new file
_NAMES = b"olist.names"
_COLUMN = "to"
CHUNK_ROWS = 1 << 20


class NewFile(msgspec.Struct, frozen=True):
    """A data file that a rewrite made, and the values of its lake partition."""

    path: str
    partition: tuple[Any, ...]
    spec_id: int | None = None  # of its partition spec; files of moves of earlier versions do not say it

    @classmethod
    def of(cls, file: DataFile) -> NewFile:
        """As the manifest has it."""
        return cls(file.file_path, tuple(file.partition[i] for i in range(len(file.partition))), file.spec_id)

    @property
    def record(self) -> Record:
        """The partition as PyIceberg's."""
        return Record(*self.partition)


class _Names(msgspec.Struct, frozen=True):
    old: list[str]
    rows: list[int]
    new: list[NewFile]


@dataclass(frozen=True)
class Moves:
    """Old path -> per row its new location: ``new file number << ROW_BITS | row``, or `DROPPED`."""

    new: Sequence[NewFile]
    to: dict[str, I64]

    def write(self, io: FileIO, location: str) -> str:
        """Write a file of moves under a table's location; return its path."""
        path = f"{location}/metadata/moves-{uuid4().hex}.parquet"
        names = _Names(list(self.to), [len(rows) for rows in self.to.values()], list(self.new))
        schema = pa.schema([(_COLUMN, pa.int64())], metadata={_NAMES: msgspec.json.encode(names)})
        sink = pa.BufferOutputStream()
        # Neighbours move together, so that differences are small: about a byte a row.
        with pq.ParquetWriter(
            sink, schema, compression="zstd", use_dictionary=False, column_encoding="DELTA_BINARY_PACKED"
        ) as writer:
            for some in _chunks(list(self.to.values())):
                writer.write_table(pa.table([pa.array(some)], schema=schema))
        with io.new_output(path).create() as out:
            out.write(memoryview(sink.getvalue()))  # type: ignore[arg-type]  # any buffer does; bytes would be a copy
        return path

    @classmethod
    def read(cls, io: FileIO, path: str) -> Moves:
        """What `write` wrote.

        Raises:
            FileNotFoundError: its snapshot has expired.
        """
        with io.new_input(path).open() as stream:
            table = pq.read_table(stream)  # type: ignore[arg-type]  # PyIceberg promises less than it gives
        names = msgspec.json.decode(table.schema.metadata[_NAMES], type=_Names)
        every = table[_COLUMN].to_numpy()
        ends = np.cumsum(names.rows)
        starts = ends - names.rows
        return cls(names.new, {old: every[a:b] for old, a, b in zip(names.old, starts, ends, strict=True)})

    def translate(self, path: str, rows: I64) -> dict[str, I64]:
        """New path -> rows there of some rows of an old file; dropped ones are left out."""
        moved = self.to[path][rows]
        moved = moved[moved != DROPPED]
        numbers, new_rows = moved >> ROW_BITS, moved & ((1 << ROW_BITS) - 1)
        return {self.new[number].path: new_rows[numbers == number] for number in np.unique(numbers).tolist()}


def _chunks(arrays: Sequence[I64]) -> Iterator[I64]:
    """The arrays one after the other, small ones together."""
    buffered: list[I64] = []
    for array in arrays:
        buffered.append(array)
        if sum(map(len, buffered)) >= CHUNK_ROWS:
            yield np.concatenate(buffered)
            buffered = []
    if buffered:
        yield np.concatenate(buffered)


def moves_since(metadata: TableMetadata, seen: int | None) -> list[str] | None:
    """Paths of the files of moves of all rewrites after snapshot `seen`, oldest first.

    None when they are not known: a snapshot between has expired, or somebody removed data files and left no moves.
    """
    found: list[str] = []
    snapshot = metadata.snapshot_by_name("main")
    while snapshot is not None and snapshot.snapshot_id != seen:
        summary = snapshot.summary
        if summary and int(summary.get("deleted-data-files") or 0):
            path = summary.get(MOVES)
            if path is None:
                return None
            found.append(path)
        parent = snapshot.parent_snapshot_id
        snapshot = metadata.snapshot_by_id(parent) if parent is not None else None
    if snapshot is None and seen is not None:
        return None
    return found[::-1]
