"""The commit of a change of files, in this order, again from the top for each lost compare-and-set:

1. load      the head; every file to be removed must still be live, else another compaction was here; new files that a
             sweep may have deleted are not committed either (`CommitAbandoned`)
2. translate deletes that arrived since the work began: they are repeated for the new files
3. drop      dangling delete files, which refer to no live data file any more
4. commit    one snapshot of operation ``replace``; the positions of the head are carried forward as they are

A live writer can only make this repeat, never fail: its new rows are in other files, its deletes are translated. Killed
before 4, or with an outcome that stays unknown, nothing is cleaned up: what no snapshot refers to is an orphan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from compaction.plan import DeleteGroup
from compaction.storage import discard
from compaction.table_stats import LakePartition, Reader, refuse_uncompactable
from olist.errors import ServerTrouble
from olist.lake.ancestry import CARRIER, POSITIONS, carried_forward
from olist.lake.errors import lake_errors
from olist.lake.files import FileWriter, may_be_swept
from olist.lake.manifests import Contents
from olist.lake.row_delta import Replace
from olist.lake.row_moves import MOVES, Moves

I64 = npt.NDArray[np.int64]

MOST_CONFLICTS = 50


@dataclass(frozen=True)
class FileChange:
    """Files that are removed, files that hold the same live rows or deletes, and where the rows went."""

    removed: Sequence[DataFile]
    added: Sequence[DataFile]
    moves: Moves = field(default_factory=lambda: Moves([], {}))
    restated: Mapping[str, DataFile] = field(default_factory=dict)  # files that stay and are listed otherwise, by path


@dataclass(frozen=True)
class Committed:
    """A commit: how many compare-and-sets were lost before it, and how many deletes were translated."""

    table: Table
    conflicts: int
    translated: int


class CommitAbandoned(Exception):  # not an error: another did the work, or the next run will
    """The work is discarded and nothing was committed; says why."""


@dataclass(frozen=True)
class Committer:
    """Commits changes of files to one table."""

    catalog: SqlCatalog
    name: tuple[str, ...]
    reader: Reader
    now_ms: Callable[[], int]

    def commit(self, change: FileChange, start: Contents, begun_ms: int) -> Committed:
        """Commit a change that was worked out on the contents `start`, its first file begun at `begun_ms`.

        Raises:
            NotCompacted: another engine has committed what compaction does not handle.
            CommitAbandoned: another compaction was faster, or the new files are too old; they are removed.
            ServerTrouble: catalog or storage is away, or `MOST_CONFLICTS` commits in a row were lost.
        """
        with lake_errors():
            table = self.catalog.load_table(self.name)
            summary: dict[str, str] = {}
            if change.moves.to:
                summary[MOVES] = change.moves.write(table.io, table.location())
            for conflicts in range(MOST_CONFLICTS):
                head = self.reader.contents(table)
                refuse_uncompactable(table, head)
                if reason := self._reason_to_abandon(change, head, begun_ms):
                    discard(table, [*(file.file_path for file in change.added), *filter(None, [summary.get(MOVES)])])
                    raise CommitAbandoned(reason)
                new_deletes = self._deletes_since(change, start, head)
                deletes = write_deletes(table, translate(new_deletes, change.moves), lake_partitions(change.added))
                removed = [*change.removed, *self._dangling(change, head)]
                try:
                    self._commit_once(table, [*change.added, *deletes], removed, summary, change.restated)
                except CommitFailedException:
                    discard(table, [file.file_path for file in deletes])
                    table = self.catalog.load_table(self.name)
                else:
                    return Committed(table, conflicts, sum(len(rows) for rows in new_deletes.values()))
        raise ServerTrouble("lake catalog", f"{'.'.join(self.name)}: {MOST_CONFLICTS} commits in a row lost to writers")

    def _reason_to_abandon(self, change: FileChange, head: Contents, begun_ms: int) -> str | None:
        if not head.paths.issuperset(file.file_path for file in change.removed):
            return "another compaction was faster"
        if may_be_swept(begun_ms, self.now_ms()):
            return "its files are so old that a sweep may have deleted some"
        return None

    def _commit_once(
        self,
        table: Table,
        added: Sequence[DataFile],
        removed: Sequence[DataFile],
        summary: dict[str, str],
        restated: Mapping[str, DataFile],
    ) -> None:
        transaction = table.transaction()
        properties = summary | carried_forward(table.metadata)
        replace = Replace(transaction, self.reader.manifests, added, removed, properties, restated)
        replace.commit()
        if POSITIONS in properties:
            transaction.set_properties({CARRIER: str(replace.snapshot_id)})
        transaction.commit_transaction()

    def _deletes_since(self, change: FileChange, start: Contents, head: Contents) -> dict[str, I64]:
        fresh = [path for path in head.deletes if path not in start.deletes]
        return self.reader.delete_files.rows(fresh, change.moves.to)

    def _dangling(self, change: FileChange, head: Contents) -> list[DataFile]:
        """Delete files that refer to no data file which is live after the change."""
        gone = {file.file_path for file in change.removed}
        live = head.data.keys() - gone
        self.reader.delete_files.load(head.deletes)
        counts = self.reader.delete_files.counts
        return [
            entry.data_file
            for path, entry in head.deletes.items()
            if path not in gone and live.isdisjoint(counts(path))
        ]


def lake_partitions(files: Iterable[DataFile]) -> dict[str, LakePartition]:
    """The lake partition of data files, by path."""
    return {file.file_path: LakePartition.of(file) for file in files}


def write_deletes(table: Table, rows: Mapping[str, I64], where: Mapping[str, LakePartition]) -> list[DataFile]:
    """Write the deleted rows of data files, one delete file per lake partition."""
    by_partition: dict[LakePartition, list[str]] = defaultdict(list)
    for path in rows:
        by_partition[where[path]].append(path)
    made = []
    for partition, paths in by_partition.items():
        file_writer = FileWriter(table, table.schema(), table.specs()[partition.spec_id])
        lengths = [len(rows[path]) for path in paths]
        names = pa.array(paths, type=pa.string()).take(np.repeat(np.arange(len(paths)), lengths))
        every = pa.array(np.concatenate([rows[path] for path in paths]))
        made.append(file_writer.delete_file(names, every, partition.values))
    return made


def translate(new_deletes: Mapping[str, I64], moves: Moves) -> dict[str, I64]:
    """Old file -> deleted rows, as new file -> deleted rows, sorted.

    A row that the rewrite had already left behind is in no new file and needs no delete.
    """
    found: dict[str, list[I64]] = defaultdict(list)
    for path, rows in new_deletes.items():
        for new_path, new_rows in moves.translate(path, rows).items():
            found[new_path].append(new_rows)
    return {path: np.unique(np.concatenate(rows)) for path, rows in found.items()}


def merge_delete_files(table: Table, groups: Iterable[DeleteGroup], start: Contents, reader: Reader) -> FileChange:
    """Write the groups' deletes of live data files once more. Memory: `Budget.delete_rows` says how many fit."""
    paths = [file.path for group in groups for file in group.files]
    rows = reader.delete_files.rows(paths, start.data)
    added = write_deletes(table, rows, lake_partitions(start.data[path].data_file for path in rows))
    return FileChange([start.deletes[path].data_file for path in paths], added)
