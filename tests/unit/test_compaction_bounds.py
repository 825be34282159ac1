"""Files that an earlier version listed with bounds too narrow are listed rightly by the next compaction."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from pyiceberg.expressions import EqualTo
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from compaction.bounds import CHECKED, PATH_ID
from olist.batches import OFFSET, PARTITION
from olist.lake.catalog import identifier
from olist.lake.files import FileWriter, amended
from olist.lake.manifests import Manifests
from olist.lake.row_delta import OneCommit, RowDelta
from olist.lake.schema import WHOLE
from tests.lakes import WHOLE_NOTES, Lake, local_settings

LONG = "m" + "x" * 5000


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(local_settings(tmp_path), WHOLE_NOTES)


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier(WHOLE_NOTES.table))


def file_of(table: Table, groups: list[list[str]]) -> DataFile:
    """A data file with a row group for each list of texts."""
    schema = schema_to_pyarrow(table.schema(), include_field_ids=True)
    file = FileWriter.of(table).open_data_file(WHOLE)
    for words in groups:
        other = {"note_id": 1, "place": "p", "value": 1, PARTITION: 0, OFFSET: 0}
        frame = pl.DataFrame({"words": words}).with_columns(pl.lit(value).alias(name) for name, value in other.items())
        frame = frame.with_columns(pl.lit(0).cast(pl.Datetime("us")).alias("seen_at"))
        frame = frame.with_columns(pl.lit(None).alias(name) for name in schema.names if name not in frame.columns)
        file.write(frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))
    return file.close()


def commit(table: Table, data: list[DataFile], deletes: list[DataFile]) -> None:
    transaction = OneCommit(table)
    RowDelta(transaction, data, deletes, {}).commit()
    transaction.commit_transaction()


def found(lake: Lake, words: str) -> int:
    return table(lake).scan(row_filter=EqualTo(term="words", value=words)).count()


def test_a_row_that_narrow_bounds_hid_is_found_after_a_compaction(lake: Lake) -> None:
    now = lake.writer().table
    words = now.schema().find_field("words").field_id
    right, proved = file_of(now, [["a"], [LONG]]), file_of(now, [["b"], ["c"]])
    narrow = {"lower_bounds": {**right.lower_bounds, words: b"a"}, "upper_bounds": {**right.upper_bounds, words: b"a"}}
    commit(now, [amended(right, **narrow), proved], [])
    assert found(lake, LONG) == 0
    before = Manifests(now.io).contents(table(lake).current_snapshot()).data
    lake.compact()
    after = Manifests(now.io).contents(table(lake).current_snapshot()).data
    assert found(lake, LONG) == 1
    assert after[proved.file_path].data_file.upper_bounds == proved.upper_bounds
    assert after[right.file_path].data_file.lower_bounds == right.lower_bounds
    assert {path: one.sequence_number for path, one in after.items()} == {
        p: o.sequence_number for p, o in before.items()
    }
    assert CHECKED in table(lake).properties
    head = table(lake).metadata_location
    assert not lake.job().is_due(table(lake))
    assert table(lake).metadata_location == head


def test_a_delete_file_with_cut_bounds_names_its_paths_in_full_after_a_compaction(lake: Lake) -> None:
    writer = lake.writer()
    for value in range(3):
        lake.write(writer, [(value, value)])
    staged = writer.stage(lake.changes.frame([(0, None)])[0])
    (right,) = staged.delete_files
    path = right.lower_bounds[PATH_ID]
    cut = {"lower_bounds": {PATH_ID: path[:16]}, "upper_bounds": {PATH_ID: path[:15] + b"~"}}
    commit(table(lake), [], [amended(right, **cut)])
    assert [len(task.delete_files) for task in table(lake).scan().plan_files()] == [1, 1, 1]
    lake.properties(delete_ratio_threshold="2")
    lake.compact()
    assert sorted(len(task.delete_files) for task in table(lake).scan().plan_files()) == [0, 0, 1]
    assert lake.held().keys() == {1, 2}
