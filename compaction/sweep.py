"""Orphans: files under a table's location that nothing refers to. A writer that was killed leaves them behind.

The storage is listed first and the table loaded after it, so a file that a commit made count in between is seen to be
referred to. A file that no commit refers to yet is told from an orphan by its age alone: the least age must be far
above the time that any writer needs from its first file to its commit (`olist.lake.orphans`).
"""

from __future__ import annotations

from collections.abc import Callable

from pyiceberg.table import Table

from compaction.expire import references
from compaction.graveyard import buried, graves
from compaction.storage import Stored, stored
from olist.lake.contents import Manifests
from olist.settings import Settings


def orphans(load: Callable[[], Table], settings: Settings, older_than_ms: int, now_ms: int) -> list[Stored]:
    """The table's orphans last written before ``now_ms - older_than_ms``, oldest first. Nothing is deleted.

    Files that wait in the graveyard are no orphans.
    """
    there = list(stored(load().location(), settings))
    table = load()
    used = references(table.snapshots(), Manifests(table.io))
    used.add(table.metadata_location)
    used.update(entry.metadata_file for entry in table.metadata.metadata_log)
    used.update(file.statistics_path for file in table.metadata.statistics)
    used.update(file.statistics_path for file in table.metadata.partition_statistics)
    for grave in graves(table, settings):
        used.update([grave.path, *buried(table, grave)])
    old = [file for file in there if file.modified_ms < now_ms - older_than_ms and file.path not in used]
    return sorted(old, key=lambda file: file.modified_ms)
