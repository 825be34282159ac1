"""The commit of a change of files, in this order, again from the top for each lost compare-and-set:

1. look      load the head; every file to be removed must still be live, else another compaction was here: `Lost`;
             new files that a sweep may have deleted are not committed either
2. translate deletes that arrived since the work began are said again of the new files
3. clear     delete files that refer to nothing live any more are removed too
4. commit    one snapshot of operation ``replace``; the positions of the head are carried on as they are

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
from compaction.table_stats import Place, Reader, refuse
from olist.errors import ServerTrouble
from olist.lake.ancestry import CARRIER, POSITIONS, carried_on
from olist.lake.errors import lake_errors
from olist.lake.files import Writing, may_be_swept
from olist.lake.manifests import Contents
from olist.lake.row_delta import Replace
from olist.lake.row_moves import MOVES, Moves

I64 = npt.NDArray[np.int64]

MOST_CONFLICTS = 50


@dataclass(frozen=True)
class Change:
    """Files that are removed, files that hold the same live rows or deletes, and where the rows went."""

    removed: Sequence[DataFile]
    added: Sequence[DataFile]
    moves: Moves = field(default_factory=lambda: Moves([], {}))
    restated: Mapping[str, DataFile] = field(default_factory=dict)  # files that stay and are listed otherwise, by path


@dataclass(frozen=True)
class Landed:
    """A commit: how many times the compare-and-set was lost before, and how many deletes had arrived meanwhile."""

    table: Table
    conflicts: int
    translated: int


class Lost(Exception):  # not an error: another did the work, or the next run will
    """The work is void and nothing was committed; says why."""


@dataclass(frozen=True)
class Landing:
    """Commits changes of files to one table."""

    catalog: SqlCatalog
    name: tuple[str, ...]
    reader: Reader
    now_ms: Callable[[], int]

    def land(self, change: Change, start: Contents, begun_ms: int) -> Landed:
        """Commit a change that was worked out on the contents `start`, its first file begun at `begun_ms`.

        Raises:
            NotCompacted: another engine has committed what compaction does not handle.
            Lost: another compaction was faster, or the new files are too old; they are removed.
            ServerTrouble: catalog or storage is away, or `MOST_CONFLICTS` commits in a row were lost.
        """
        with lake_errors():
            table = self.catalog.load_table(self.name)
            summary: dict[str, str] = {}
            if change.moves.to:
                summary[MOVES] = change.moves.write(table.io, table.location())
            for conflicts in range(MOST_CONFLICTS):
                head = self.reader.contents(table)
                refuse(table, head)
                if reason := self._void(change, head, begun_ms):
                    discard(table, [*(file.file_path for file in change.added), *filter(None, [summary.get(MOVES)])])
                    raise Lost(reason)
                arrived = self._arrived(change, start, head)
                deletes = write_deletes(table, translate(arrived, change.moves), places(change.added))
                removed = [*change.removed, *self._dangling(change, head)]
                try:
                    self._commit(table, [*change.added, *deletes], removed, summary, change.restated)
                except CommitFailedException:
                    discard(table, [file.file_path for file in deletes])
                    table = self.catalog.load_table(self.name)
                else:
                    return Landed(table, conflicts, sum(len(rows) for rows in arrived.values()))
        raise ServerTrouble("lake catalog", f"{'.'.join(self.name)}: {MOST_CONFLICTS} commits in a row lost to writers")

    def _void(self, change: Change, head: Contents, begun_ms: int) -> str | None:
        if not head.paths.issuperset(file.file_path for file in change.removed):
            return "another compaction was faster"
        if may_be_swept(begun_ms, self.now_ms()):
            return "its files are so old that a sweep may have deleted some"
        return None

    def _commit(
        self,
        table: Table,
        added: Sequence[DataFile],
        removed: Sequence[DataFile],
        summary: dict[str, str],
        restated: Mapping[str, DataFile],
    ) -> None:
        transaction = table.transaction()
        said = summary | carried_on(table.metadata)
        replace = Replace(transaction, self.reader.manifests, added, removed, said, restated)
        replace.commit()
        if POSITIONS in said:
            transaction.set_properties({CARRIER: str(replace.snapshot_id)})
        transaction.commit_transaction()

    def _arrived(self, change: Change, start: Contents, head: Contents) -> dict[str, I64]:
        fresh = [path for path in head.deletes if path not in start.deletes]
        return self.reader.delete_files.rows(fresh, change.moves.to)

    def _dangling(self, change: Change, head: Contents) -> list[DataFile]:
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


def places(files: Iterable[DataFile]) -> dict[str, Place]:
    """Where data files lie, by path."""
    return {file.file_path: Place.of(file) for file in files}


def write_deletes(table: Table, rows: Mapping[str, I64], where: Mapping[str, Place]) -> list[DataFile]:
    """Write the deleted rows of data files, one delete file per lake partition."""
    by_place: dict[Place, list[str]] = defaultdict(list)
    for path in rows:
        by_place[where[path]].append(path)
    made = []
    for place, paths in by_place.items():
        writing = Writing(table, table.schema(), table.specs()[place.spec_id])
        lengths = [len(rows[path]) for path in paths]
        names = pa.array(paths, type=pa.string()).take(np.repeat(np.arange(len(paths)), lengths))
        every = pa.array(np.concatenate([rows[path] for path in paths]))
        made.append(writing.delete_file(names, every, place.values))
    return made


def translate(arrived: Mapping[str, I64], moves: Moves) -> dict[str, I64]:
    """Old file -> deleted rows, as new file -> deleted rows, sorted.

    A row that the rewrite had already left behind is in no new file and needs no delete.
    """
    found: dict[str, list[I64]] = defaultdict(list)
    for path, rows in arrived.items():
        for new_path, new_rows in moves.translate(path, rows).items():
            found[new_path].append(new_rows)
    return {path: np.unique(np.concatenate(rows)) for path, rows in found.items()}


def merge_deletes(table: Table, groups: Iterable[DeleteGroup], start: Contents, reader: Reader) -> Change:
    """Write the groups' deletes of live data files once more. Memory: `Budget.delete_rows` says how many fit."""
    paths = [file.path for group in groups for file in group.files]
    rows = reader.delete_files.rows(paths, start.data)
    added = write_deletes(table, rows, places(start.data[path].data_file for path in rows))
    return Change([start.deletes[path].data_file for path in paths], added)
