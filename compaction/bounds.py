"""Bounds that earlier versions wrote too narrow, corrected in the manifests: no row is moved, no data file rewritten.

Two kinds were wrong. A data file of several row groups, one without a minimum and maximum (a text above 4,096 bytes),
had the bounds of the others, so that filters missed rows: its footer says which bounds nothing proves, and those go.
The bounds of position-delete files were cut to 16 characters, so that readers opened each for every data file: what it
names is known, and is said in full. Footers are read once per table, which its property `CHECKED` remembers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.types import StringType

from compaction.table_stats import Reader
from olist.lake.files import DELETE_PATH, DELETE_SCHEMA, amended
from olist.lake.manifests import Contents

CHECKED = "olist.compaction.bounds-checked"  # table property: up to which sequence number footers were compared
SIDE_BY_SIDE = 8
PATH_ID = DELETE_SCHEMA.find_field(DELETE_PATH).field_id


def suspects(table: Table, contents: Contents) -> list[DataFile]:
    """Data files whose bounds may be those of some row groups alone; none in a table that was checked."""
    if CHECKED in table.properties:
        return []
    texts = {field.field_id for field in table.schema().fields if isinstance(field.field_type, StringType)}
    files = [entry.data_file for entry in contents.data.values()]
    return [f for f in files if len(f.split_offsets or ()) > 1 and texts & (f.upper_bounds or {}).keys()]


def cut_deletes(contents: Contents, reader: Reader) -> Iterator[DataFile]:
    """Delete files whose bounds are no path that they name, with those that are."""
    for path, entry in contents.deletes.items():
        file, named = entry.data_file, [name.encode() for name in reader.delete_files.counts(path)]
        lower, upper = (file.lower_bounds or {}).get(PATH_ID), (file.upper_bounds or {}).get(PATH_ID)
        if named and None not in (lower, upper) and (lower, upper) != (min(named), max(named)):
            yield amended(
                file,
                lower_bounds={**file.lower_bounds, PATH_ID: min(named)},
                upper_bounds={**file.upper_bounds, PATH_ID: max(named)},
            )


def corrected(table: Table, contents: Contents, reader: Reader) -> dict[str, DataFile]:
    """Files that a manifest lists wrongly, as it should. Reads the footers of `suspects`."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        found = list(pool.map(lambda file: _without_unproved(table.io, file), suspects(table, contents)))
    return {file.file_path: file for file in [*filter(None, found), *cut_deletes(contents, reader)]}


def remember(table: Table) -> None:
    """Say in the table that its footers were compared; the next run says it where a writer was faster."""
    head, transaction = table.current_snapshot(), table.transaction()
    transaction.set_properties({CHECKED: str(head.sequence_number if head else 0)})
    with suppress(CommitFailedException):
        transaction.commit_transaction()


def _without_unproved(io: FileIO, file: DataFile) -> DataFile | None:
    """A data file without the bounds that its footer does not prove; None where it proves all."""
    with io.new_input(file.file_path).open() as stream:
        metadata: Any = pq.ParquetFile(stream).metadata  # type: ignore[arg-type]  # PyIceberg promises less than it gives
    unproved = set(_unproved(metadata)) & {*(file.lower_bounds or {}), *(file.upper_bounds or {})}
    if not unproved:
        return None
    return amended(
        file, lower_bounds=_less(file.lower_bounds, unproved), upper_bounds=_less(file.upper_bounds, unproved)
    )


def _unproved(metadata: Any) -> Iterator[int]:
    """Field ids of columns that have a row group with values and without a minimum and maximum."""
    columns = metadata.schema.to_arrow_schema()
    for number in range(metadata.num_columns):
        chunks = [metadata.row_group(group).column(number) for group in range(metadata.num_row_groups)]
        name = chunks[0].path_in_schema
        statistics = [chunk.statistics for chunk in chunks if chunk.num_values]
        is_proved = all(one is not None and (one.has_min_max or not one.num_values) for one in statistics)
        if not is_proved and name in columns.names:
            yield int((columns.field(name).metadata or {}).get(b"PARQUET:field_id", -1))


def _less(bounds: Mapping[int, bytes] | None, ids: Iterable[int]) -> dict[int, bytes]:
    ids = set(ids)
    return {field_id: bound for field_id, bound in (bounds or {}).items() if field_id not in ids}
