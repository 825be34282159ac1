"""Many delete files to one per lake partition; what refers to data files that are gone is left out."""

from __future__ import annotations

from collections.abc import Iterable

from pyiceberg.table import Table

from compaction.facts import Reader
from compaction.landing import Change, places, write_deletes
from compaction.plan import DeleteGroup
from olist.lake.contents import Contents


def merge_deletes(table: Table, groups: Iterable[DeleteGroup], start: Contents, reader: Reader) -> Change:
    """Write the groups' deletes of live data files once more. Memory: `Budget.delete_rows` says how many fit."""
    paths = [file.path for group in groups for file in group.files]
    rows = reader.delete_files.rows(paths, start.data)
    added = write_deletes(table, rows, places(start.data[path].data_file for path in rows))
    return Change([start.deletes[path].data_file for path in paths], added)
