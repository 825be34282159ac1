"""Orphans: files under a table's location that nothing refers to. A writer that was killed leaves them behind.

The storage is listed first and the table loaded after it, so a file that a commit made count in between is seen to be
referred to. A file that no commit refers to yet differs from an orphan by its age alone: the least age must be far
above the time that any writer needs from its first file to its commit (`olist.lake.files`). Paths are compared in one
spelling; a list that looks like another misunderstanding has `Orphans.doubts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyiceberg.table import Table

from compaction.deferred_deletes import listed_files, pending_deletes
from compaction.expire import references
from compaction.storage import Stored, canonical, stored
from olist.lake.manifests import Manifests
from olist.settings import Settings

MOST_SWEPT = 0.1  # of the files: killed writers leave less


@dataclass(frozen=True)
class Orphans:
    """Files that nothing refers to, oldest first, of `there` files; the table's newest commit was at `newest_ms`."""

    files: list[Stored]
    there: int
    newest_ms: int

    @property
    def doubts(self) -> list[str]:
        """Why these may be no orphans after all; a person must look before they are deleted."""
        found = []
        if young := [file.path for file in self.files if file.modified_ms > self.newest_ms]:
            found.append(f"{len(young)} were written after the table's newest commit ({young[0]}): by whom?")
        if len(self.files) > self.there * MOST_SWEPT:
            found.append(f"{len(self.files)} of {self.there} files are more than a tenth")
        return found


def orphans(load: Callable[[], Table], settings: Settings, older_than_ms: int, now_ms: int) -> Orphans:
    """The table's orphans last written before ``now_ms - older_than_ms``. Nothing is deleted.

    Files that wait for their deferred delete are no orphans.
    """
    there = list(stored(load().location(), settings))
    table = load()
    used = set(map(canonical, _used(table, settings)))
    old = [file for file in there if file.modified_ms < now_ms - older_than_ms and canonical(file.path) not in used]
    head = table.current_snapshot()
    newest_ms = head.timestamp_ms if head else table.metadata.last_updated_ms
    return Orphans(sorted(old, key=lambda file: file.modified_ms), len(there), newest_ms)


def _used(table: Table, settings: Settings) -> Iterator[str]:
    """Every path that the table's metadata or a list of expired files names."""
    yield from references(table.snapshots(), Manifests(table.io))
    yield table.metadata_location
    yield from (entry.metadata_file for entry in table.metadata.metadata_log)
    yield from (file.statistics_path for file in table.metadata.statistics)
    yield from (file.statistics_path for file in table.metadata.partition_statistics)
    for deferred in pending_deletes(table, settings):
        yield from [deferred.path, *listed_files(table, deferred)]
