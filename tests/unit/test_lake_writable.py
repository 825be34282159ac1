"""What others make of a lake table: each is served exactly, or refused by name before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DataFileContent
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortOrder
from pyiceberg.table.update import AddSortOrderUpdate, SetDefaultSortOrderUpdate
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    UUIDType,
)
from sqlalchemy import text

from compaction.expire import Expiry
from olist.contracts import Int, Micros, Portuguese, Price, Row, Str
from olist.errors import BadInput, ContractRefused
from olist.lake.catalog import identifier
from olist.lake.files import FileWriter
from olist.lake.live_rows import live_rows
from olist.lake.row_delta import OneCommit, RowDelta
from olist.lake.table import LakeTable
from olist.lake.writable import COLUMNS, refuse_unwritable
from tests.lakes import NOTES, WHOLE_NOTES, Lake, local_settings


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A table with rows."""
    lake = Lake(local_settings(tmp_path), WHOLE_NOTES)
    lake.write(lake.writer(), [(key, 1) for key in range(6)])
    return lake


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier(lake.contract.table))


def upgrade(lake: Lake) -> None:
    """To format version 3, as Java does it."""
    now = table(lake)
    old = now.metadata_location.removeprefix("file://")
    new = Path(old).with_name("00009-upgraded.metadata.json")
    said = json.loads(Path(old).read_text()) | {"format-version": 3, "next-row-id": 0}
    new.write_text(json.dumps(said))
    with lake.catalog.engine.begin() as connection:
        connection.execute(text("UPDATE iceberg_tables SET metadata_location = :new"), {"new": f"file://{new}"})


def partition(lake: Lake) -> None:
    with table(lake).update_spec() as update:
        update.add_field("note_id", BucketTransform(4), "bucket")


def add_required(lake: Lake) -> None:
    with table(lake).update_schema(allow_incompatible_changes=True) as update:
        update.add_column("stars", IntegerType(), required=True)


def add_map(lake: Lake) -> None:
    with table(lake).update_schema() as update:
        update.add_column("tags", MapType(1, StringType(), 2, StringType()))


def drop_origin(lake: Lake) -> None:
    with table(lake).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("_kafka_offset")


def retype(lake: Lake) -> None:
    with table(lake).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("price")
    with table(lake).update_schema() as update:
        update.add_column("price", DateType())


def delete_by_equality(lake: Lake) -> None:
    """As Flink deletes."""
    now = table(lake)
    writing = FileWriter.of(now)
    frame = lake.changes.frame([(1, 1)])[0]
    made = writing.data_file(frame, lake_partition(now))
    made._data[0] = DataFileContent.EQUALITY_DELETES
    transaction = OneCommit(now)
    RowDelta(transaction, [], [made], {}).commit()
    transaction.commit_transaction()


def lake_partition(now: Table) -> Any:
    return next(iter(now.scan().plan_files())).file.partition


REFUSED: list[tuple[Callable[[Lake], None], str, str]] = [
    (upgrade, "format version 3", "write version 2"),
    (partition, r"partitioned by \(bucket\[4\]\(note_id\)\)", r"by \(nothing\)"),
    (add_required, "stars", "note_id"),
    (add_map, "tags.*map<string, string>", "note_id"),
    (drop_origin, r"_kafka_offset \(gone\)", "_kafka_offset long"),
    (retype, "no contract type is an Iceberg date.*price date", "price"),
    (delete_by_equality, "equality deletes", "position deletes"),
]


@pytest.mark.parametrize(("change", "there", "ours"), REFUSED, ids=[case[0].__name__ for case in REFUSED])
def test_what_cannot_be_written_exactly_is_refused_with_both_sides_shown(
    lake: Lake, change: Callable[[Lake], None], there: str, ours: str
) -> None:
    live = lake.writer()
    change(lake)
    before = table(lake).metadata_location
    with pytest.raises(ContractRefused, match=rf"(?s)lake table whole_notes: .*{there}.*{ours}") as refused:
        lake.writer()
    assert "olist sink rebuild iceberg --tables whole_notes" in refused.value.hint or "rebuild" in refused.value.hint
    assert table(lake).metadata_location == before
    assert live.table.metadata_location != before


def test_no_snapshot_of_a_table_of_another_format_version_is_expired(lake: Lake) -> None:
    for value in range(30):
        lake.write(lake.writer(), [(1, value)])
    before, job = table(lake), lake.job(now_ms=1 << 42)
    assert job.expired(before)
    upgrade(lake)
    upgraded = table(lake).metadata_location
    with pytest.raises(ContractRefused, match="format version 3") as refused:
        job.expire()
    assert refused.value.hint.startswith("Iceberg knows no way back to an older version: rebuild the table")
    with pytest.raises(CommitFailedException, match="upgraded the table's format"):
        Expiry(lake.catalog).commit(before, job.expired(before), {}, 0)
    assert table(lake).metadata_location == upgraded


@pytest.mark.parametrize("change", [upgrade, delete_by_equality])
def test_a_live_writer_meets_the_same_refusal(lake: Lake, change: Callable[[Lake], None]) -> None:
    live = lake.writer()
    change(lake)
    with pytest.raises(ContractRefused, match="lake table whole_notes"):
        lake.write(live, [(1, 2)])


def test_a_partition_spec_of_days_where_months_belong_is_refused(tmp_path: Path) -> None:
    lake = Lake(local_settings(tmp_path))
    lake.write(lake.writer(), [(1, 1)])
    with table(lake).update_spec() as update:
        update.remove_field("seen_at_month")
        update.add_field("place", IdentityTransform(), "place")
    with pytest.raises(ContractRefused, match=r"(?s)by \(identity\(place\)\).*by \(month\(seen_at\)\)"):
        lake.writer()


def test_rows_of_another_partition_spec_are_replaced_once_the_spec_is_ours_again(lake: Lake) -> None:
    with table(lake).update_spec() as update:
        update.add_field("place", IdentityTransform(), "by_place")
    rows = table(lake).scan().to_arrow()
    table(lake).overwrite(rows)
    with table(lake).update_spec() as update:
        update.remove_field("by_place")
    lake.write(lake.writer(), [(1, 2), (2, None)])
    assert lake.held() == lake.model
    lake.properties(min_input_files="2", delete_ratio_threshold="0.1")
    lake.compact()
    assert lake.held() == lake.model


def test_another_sort_order_and_other_properties_are_served(lake: Lake) -> None:
    order = SortOrder(order_id=1)
    lake.catalog.commit_table(
        table(lake), (), (AddSortOrderUpdate(sort_order=order), SetDefaultSortOrderUpdate(sort_order_id=1))
    )
    with table(lake).transaction() as transaction:
        transaction.set_properties({"gc.enabled": "false", "write.format.default": "orc"})
    lake.write(lake.writer(), [(1, 2), (9, 2)])
    assert lake.held() == lake.model


def test_a_table_whose_files_are_not_to_be_deleted_is_not_dropped(lake: Lake) -> None:
    with table(lake).transaction() as transaction:
        transaction.set_properties({"gc.enabled": "false"})
    with pytest.raises(BadInput, match=r"gc\.enabled is false"):
        lake.writer().drop()
    assert lake.held() == lake.model


OTHERS: dict[str, tuple[IcebergType, Any]] = {
    "flag": (BooleanType(), True),
    "stars": (IntegerType(), 3),
    "clicks": (LongType(), 1 << 40),
    "score": (FloatType(), 0.5),
    "ratio": (DoubleType(), 0.25),
    "day": (DateType(), 7),
    "at": (TimestampType(), 8),
    "at_utc": (TimestamptzType(), 9),
    "label": (StringType(), "seen"),
    "raw": (BinaryType(), b"\x00\xff"),
    "words_of": (ListType(101, StringType(), element_required=False), ["a", None]),
    "of": (StructType(NestedField(102, "x", DoubleType(), required=False)), {"x": 1.5}),
}


AS_NUMBERS = {"day": pa.int32(), "at": pa.int64(), "at_utc": pa.int64()}


def test_optional_columns_that_somebody_added_are_null_in_new_rows_and_kept_by_a_compaction(lake: Lake) -> None:
    with table(lake).update_schema() as update:
        for name, (kind, _value) in OTHERS.items():
            update.add_column(name, kind)
    now = table(lake)
    rows = now.scan().to_arrow()
    schema = now.schema().as_arrow()
    for name, (_kind, value) in OTHERS.items():
        kind = schema.field(name).type
        made = pa.array([value] * rows.num_rows, type=AS_NUMBERS.get(name, kind)).cast(kind)
        rows = rows.set_column(rows.schema.get_field_index(name), name, made)
    now.overwrite(rows.cast(schema))
    before = {row["note_id"]: row for row in table(lake).scan().to_arrow().to_pylist()}
    writer = lake.writer()
    lake.write(writer, [(1, 2), (9, 2)])
    lake.properties(min_input_files="2")
    assert lake.compact().commits > 0
    after = {row["note_id"]: row for row in table(lake).scan().to_arrow().to_pylist()}
    assert {key: row for key, row in after.items() if key not in (1, 9)} == {
        key: row for key, row in before.items() if key != 1
    }
    assert all(before[2][name] is not None for name in OTHERS)
    assert {name: after[1][name] for name in OTHERS} == dict.fromkeys(OTHERS)
    lake.write(writer, [(1, 3)])
    assert lake.held() == lake.model


@pytest.mark.parametrize("kind", [UUIDType(), MapType(1, StringType(), 2, StringType())], ids=str)
def test_columns_that_a_compaction_cannot_carry_are_refused(lake: Lake, kind: IcebergType) -> None:
    with table(lake).update_schema() as update:
        update.add_column("more", kind)
    with pytest.raises(ContractRefused, match="more"):
        refuse_unwritable(table(lake), WHOLE_NOTES)


class ShortNote(Row):
    """A contract that has lost a column."""

    note_id: Int
    place: Str
    value: Int
    price: Price | None
    seen_at: Micros


class LongNote(ShortNote):
    """And one that has won another."""

    words: Portuguese | None
    more: Str | None = None


def test_a_column_that_the_contract_once_had_is_not_taken_for_somebody_elses(lake: Lake) -> None:
    with pytest.raises(ContractRefused, match="words is gone from the contract"):
        LakeTable(lake.catalog, replace(WHOLE_NOTES, row=ShortNote)).open()
    longer = LakeTable(lake.catalog, replace(WHOLE_NOTES, row=LongNote))
    longer.open()
    lake.write(lake_writer_of(lake, longer), [(1, 2)])
    with pytest.raises(ContractRefused, match="more is gone from the contract"):
        lake.writer()


def lake_writer_of(lake: Lake, opened: LakeTable) -> LakeTable:
    opened.assign(frozenset(range(2)))
    return opened


def test_a_table_of_earlier_versions_learns_its_columns_with_its_next_commit(lake: Lake) -> None:
    with table(lake).transaction() as transaction:
        transaction.remove_properties(COLUMNS)
    with table(lake).update_schema() as update:
        update.add_column("stars", IntegerType())
    with pytest.raises(ContractRefused, match="stars is gone from the contract"):
        lake.writer()
    with table(lake).update_schema(allow_incompatible_changes=True) as update:
        update.delete_column("stars")
    lake.write(lake.writer(), [(1, 2)])
    assert "words" in table(lake).properties[COLUMNS].split()
    assert NOTES.columns == WHOLE_NOTES.columns
    assert sum(rows.height for _file, rows in live_rows(table(lake), ["note_id"])) == 6
