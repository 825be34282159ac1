"""Tables that compaction would not keep whole: what other engines made of them is refused by name, never guessed at.

Served are other partition specs (a file stays in its own), columns added, dropped, renamed and widened, and branches
and tags. Refused are files that this version cannot read or would not write back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table

from olist.errors import Stopped
from olist.lake.contents import Contents

NEWEST_FORMAT = 2
ELSEWHERE = (
    "let the engine that wrote this rewrite it (Spark: CALL system.rewrite_data_files), or rebuild from the topic"
)


class NotCompacted(Stopped):
    """A table that another engine has made into what compaction does not handle; it stays as it is."""

    def __init__(self, table: str, reason: str) -> None:
        rebuild = f"`olist sink rebuild iceberg --tables {table.removesuffix('_changes')}`"
        super().__init__(f"lake table {table} cannot be compacted: {reason}", hint=f"{ELSEWHERE}: {rebuild}")


def refuse(table: Table, contents: Contents) -> None:
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
