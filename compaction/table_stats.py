"""What a table holds, as the plan wants to know it: its files, and how many rows of each are deleted.

Tables that compaction would not keep whole are refused by name. Served are other partition specs (a file stays in its
own), columns added, dropped, renamed and widened, and branches and tags. Refused are files that this version cannot
read or would not write back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestEntry
from pyiceberg.table import Table
from pyiceberg.typedef import Record

from compaction.plan import DataFileStats, DeleteFileStats
from olist.errors import Stopped
from olist.lake.live_rows import DeleteFiles
from olist.lake.manifests import Contents, Manifests

NEWEST_FORMAT = 2
ELSEWHERE = (
    "let the engine that wrote this rewrite it (Spark: CALL system.rewrite_data_files), or rebuild from the topic"
)


class TableStats(msgspec.Struct, frozen=True):
    """A table at one moment. `scan_s`: seconds to read one column of all live rows, where that was measured."""

    data_files: int
    delete_files: int
    bytes: int
    rows: int
    delete_rows: int
    snapshots: int
    scan_s: float | None = None


@dataclass(frozen=True)
class LakePartition:
    """A lake partition: the id of its partition spec, and its values."""

    spec_id: int
    values: Record

    @classmethod
    def of(cls, file: DataFile) -> LakePartition:
        """Where a file lies."""
        return cls(file.spec_id, file.partition)

    def __str__(self) -> str:
        return f"{self.spec_id}/{[self.values[i] for i in range(len(self.values))]}"


class Reader:
    """Reads a table's snapshots; what never changes is read once."""

    def __init__(self, table: Table) -> None:
        self.manifests = Manifests(table.io)
        self.delete_files = DeleteFiles(table.io)

    def contents(self, table: Table) -> Contents:
        """The live files of the table's head."""
        return self.manifests.contents(table.current_snapshot())

    def forget(self, table: Table, contents: Contents) -> None:
        """Let go of what the table's snapshots refer to no more."""
        self.manifests.keep(table.snapshots())
        self.delete_files.keep(contents.deletes)

    def data_file_stats(self, contents: Contents) -> list[DataFileStats]:
        """The data files, with their deletes counted."""
        self.delete_files.load(contents.deletes)
        deleted: Counter[str] = Counter()
        by: Counter[str] = Counter()
        for path in contents.deletes:
            counts = self.delete_files.counts(path)
            deleted.update(counts)
            by.update(counts.keys())
        return [_data_file_stats(entry, deleted[path], by[path]) for path, entry in contents.data.items()]

    def delete_file_stats(self, contents: Contents) -> list[DeleteFileStats]:
        """The delete files, and how much of each still refers to a live data file."""
        return [
            DeleteFileStats(
                path, LakePartition.of(file), file.file_size_in_bytes, file.record_count, self._live(path, contents)
            )
            for path, entry in contents.deletes.items()
            for file in [entry.data_file]
        ]

    def _live(self, path: str, contents: Contents) -> int:
        return sum(rows for of, rows in self.delete_files.counts(path).items() if of in contents.data)


def _data_file_stats(entry: ManifestEntry, deleted: int, delete_files: int) -> DataFileStats:
    file = entry.data_file
    # Two delete files may name the same row, so the count is a bound.
    deleted = min(deleted, file.record_count)
    return DataFileStats(
        file.file_path, LakePartition.of(file), file.file_size_in_bytes, file.record_count, deleted, delete_files
    )


def observe(table: Table, contents: Contents, scan_s: float | None = None) -> TableStats:
    """What a table's head holds."""
    data = [entry.data_file for entry in contents.data.values()]
    deletes = [entry.data_file for entry in contents.deletes.values()]
    return TableStats(
        data_files=len(data),
        delete_files=len(deletes),
        bytes=sum(file.file_size_in_bytes for file in [*data, *deletes]),
        rows=sum(file.record_count for file in data),
        delete_rows=sum(file.record_count for file in deletes),
        snapshots=len(table.metadata.snapshots),
        scan_s=scan_s,
    )


class NotCompacted(Stopped):
    """A table that another engine has made into what compaction does not handle; it stays as it is."""

    def __init__(self, table: str, reason: str) -> None:
        rebuild = f"`olist sink rebuild iceberg --tables {table.removesuffix('_changes')}`"
        super().__init__(f"lake table {table} cannot be compacted: {reason}", hint=f"{ELSEWHERE}: {rebuild}")


def refuse_uncompactable(table: Table, contents: Contents) -> None:
    """Refuse a table that cannot be compacted.

    Raises:
        NotCompacted: with every reason.
    """
    if found := list(_reasons(table, contents)):
        raise NotCompacted(table.name()[-1], "; ".join(found))


def _reasons(table: Table, contents: Contents) -> Iterator[str]:
    if (version := table.metadata.format_version) > NEWEST_FORMAT:
        yield f"it is of Iceberg's format v{version}, and only v1 and v2 are rewritten"
    yield from _of_files([entry.data_file for entry in [*contents.data.values(), *contents.deletes.values()]])


def _of_files(files: Sequence[DataFile]) -> Iterator[str]:
    equality = [f.file_path for f in files if f.content == DataFileContent.EQUALITY_DELETES]
    vectors = [f.file_path for f in files if f.file_format == FileFormat.PUFFIN]
    others = [f.file_path for f in files if f.file_format not in (FileFormat.PARQUET, FileFormat.PUFFIN)]
    for what, paths in (("equality deletes", equality), ("deletion vectors", vectors), ("not Parquet", others)):
        if paths:
            yield f"{len(paths)} of its files are {what} ({paths[0]})"
