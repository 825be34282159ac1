"""Rows that other engines insert, update, delete and rewrite: no key is ever there twice, nor lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pyiceberg.table import Table
from structlog.testing import capture_logs

from olist import telemetry
from olist.batches import META_SCHEMA, OFFSET, OP, PARTITION
from olist.contracts import Contract
from olist.errors import ServerTrouble, Stopped
from olist.lake.catalog import identifier
from olist.lake.files import FileWriter
from olist.lake.live_rows import ROW, live_rows
from olist.lake.row_delta import OneCommit, RowDelta
from olist.lake.table import LakeTable
from tests.lakes import NOTES, PARTITIONS, WHOLE_NOTES, Lake, local_settings, partition_of

ALL = frozenset(range(PARTITIONS))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Keys 0 to 5, written twice."""
    return filled(tmp_path, WHOLE_NOTES)


def filled(folder: Path, contract: Contract) -> Lake:
    lake = Lake(local_settings(folder), contract)
    for value in (3, 6):
        lake.write(lake.writer(), [(key, value) for key in range(6)])
    return lake


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier(lake.contract.table))


def rows_of(lake: Lake, *keys: int) -> pl.DataFrame:
    """Rows as the table has them."""
    now = table(lake)
    frames = [rows for _file, rows in live_rows(now, now.schema().column_names)]
    return pl.concat(frames).filter(pl.col("note_id").is_in(keys)).drop(ROW)


def insert(lake: Lake, key: int, value: int, partition: int, offset: int) -> None:
    """As an INSERT, which has to make up where its row came from."""
    row = rows_of(lake, 0).with_columns(
        pl.lit(key, dtype=pl.Int32).alias("note_id"),
        pl.lit(f"p{key}").alias("place"),
        pl.lit(value, dtype=pl.Int32).alias("value"),
        pl.lit(partition, dtype=META_SCHEMA[PARTITION]).alias(PARTITION),
        pl.lit(offset, dtype=META_SCHEMA[OFFSET]).alias(OFFSET),
    )
    commit(lake, row)


def commit(lake: Lake, row: pl.DataFrame, replaced: int | None = None) -> None:
    """As a merge-on-read INSERT, MERGE or UPDATE of Spark: a data file, and a position delete of what it replaces."""
    now = table(lake)
    writing = FileWriter.of(now)
    place = next(iter(now.scan().plan_files())).file.partition
    deletes = []
    for file, rows in live_rows(now, ["note_id"]):
        if file.partition == place or replaced is not None:
            gone = rows.filter(pl.col("note_id") == replaced)[ROW].to_list()
            if gone:
                place = file.partition
                paths = pa.array([file.file_path] * len(gone))
                deletes.append(writing.delete_file(paths, pa.array(gone, type=pa.int64()), place))
    transaction = OneCommit(now)
    RowDelta(transaction, [writing.data_file(row, place)], deletes, {}).commit()
    transaction.commit_transaction()


def update(lake: Lake) -> None:
    """UPDATE ... SET words = NULL WHERE note_id = 1, merge on read."""
    commit(lake, rows_of(lake, 1).with_columns(pl.lit(None, dtype=pl.String).alias("words")), replaced=1)


def insert_beforehand(lake: Lake) -> None:
    """A key that the topic brings later."""
    insert(lake, 77, 1, partition_of(77), 0)


def insert_with_another_partition(lake: Lake) -> None:
    insert(lake, 77, 1, 1 - partition_of(77), 1)


def insert_with_no_partition(lake: Lake) -> None:
    insert(lake, 77, 1, -1, -1)


def insert_far_ahead(lake: Lake) -> None:
    insert(lake, 77, 1, 99, 1 << 40)


def rewrite(lake: Lake) -> None:
    """Copy on write."""
    now = table(lake)
    now.overwrite(now.scan().to_arrow())


def delete(lake: Lake) -> None:
    """Of a key that the topic then brings again."""
    table(lake).delete("note_id = 1")


def append(lake: Lake) -> None:
    """By PyIceberg: a copy of a row, so that its key is there twice."""
    now = table(lake)
    now.append(now.scan("note_id = 2").to_arrow())


CHANGES = [
    update,
    insert_beforehand,
    insert_with_another_partition,
    insert_with_no_partition,
    insert_far_ahead,
    rewrite,
    delete,
    append,
]


def settle(lake: Lake, writer: LakeTable, changes: list[tuple[int, int | None]]) -> None:
    """Write as the sink does: after trouble the table is opened again, and the batch staged again."""
    frame, to = lake.changes.frame(changes)
    held = writer.positions
    assert held is not None
    moved = {p: end for p, end in to.items() if end > held.next[p]}
    with pytest.raises(ServerTrouble, match=r"another engine has committed snapshot \d+; reindexing the table"):
        writer.commit(writer.stage(frame), held, moved)
    assert writer.open() == held
    writer.assign(ALL)
    writer.commit(writer.stage(frame), held, moved)
    lake.learn(changes)


CHANGED: list[tuple[int, int | None]] = [(1, 9), (2, 9), (77, 9)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_live_writer_leaves_no_key_twice_after_a_commit_of_another(
    lake: Lake, change: Callable[[Lake], None]
) -> None:
    writer = lake.writer()
    change(lake)
    settle(lake, writer, CHANGED)
    assert lake.held() == lake.model


@pytest.mark.parametrize("change", CHANGES)
def test_a_writer_that_starts_after_a_commit_of_another_leaves_no_key_twice(
    lake: Lake, change: Callable[[Lake], None]
) -> None:
    change(lake)
    lake.write(lake.writer(), CHANGED)
    assert lake.held() == lake.model


def test_a_table_by_month_has_no_key_twice_after_an_update_and_an_insert(tmp_path: Path) -> None:
    lake = filled(tmp_path, NOTES)
    writer = lake.writer()
    update(lake)
    insert_with_no_partition(lake)
    settle(lake, writer, CHANGED)
    assert lake.held() == lake.model


@pytest.mark.parametrize("change", CHANGES)
def test_writers_of_a_partition_each_leave_no_key_twice_even_after_a_compaction(
    lake: Lake, change: Callable[[Lake], None]
) -> None:
    change(lake)
    lake.properties(min_input_files="2", delete_ratio_threshold="0.1")
    lake.compact()
    writers = {partition: lake.writer([partition]) for partition in ALL}
    for one in CHANGED:
        writer = writers[partition_of(one[0])]
        writer.open()
        writer.assign(frozenset([partition_of(one[0])]))
        lake.write(writer, [one])
    assert lake.held() == lake.model


def test_a_redaction_stays_until_the_next_change_of_its_key(lake: Lake) -> None:
    update(lake)
    lake.write(lake.writer(), [(2, 9)])
    assert rows_of(lake, 1)["words"].to_list() == [None]
    lake.write(lake.writer(), [(1, 9)])
    assert rows_of(lake, 1)["words"].to_list() == ["word 9"]


def test_a_key_that_is_there_twice_is_said_and_repaired_by_the_newer_offset(lake: Lake) -> None:
    older = rows_of(lake, 2).with_columns(pl.col(OFFSET) - 2, pl.lit(1, dtype=pl.Int32).alias("value"))
    commit(lake, older)
    commit(lake, rows_of(lake, 3).with_columns(pl.lit(1 << 30, dtype=pl.Int64).alias(OFFSET)))  # no change had it
    before = telemetry.DOUBLED_KEYS.labels(lake.contract.table)._value.get()
    with capture_logs() as lines:
        writer = lake.writer()
    (line,) = [line for line in lines if line["event"] == "keys found twice"]
    assert (line["keys"], sorted(line["first"])) == (2, [(2, "p2"), (3, "p3")])
    files = {file.file_path for file, rows in live_rows(table(lake), ["note_id"]) if set(rows["note_id"]) & {2, 3}}
    assert set(line["files"]) == files
    assert telemetry.DOUBLED_KEYS.labels(lake.contract.table)._value.get() == before + 2
    lake.write(writer, [(5, 9)])
    assert lake.held() == lake.model
    assert max(rows_of(lake, 3)[OFFSET]) < 1 << 30


def test_a_repair_that_a_compaction_overtakes_follows_its_rows(lake: Lake) -> None:
    commit(lake, rows_of(lake, 2).with_columns(pl.col(OFFSET) - 2))
    writer = lake.writer()
    lake.properties(min_input_files="2", delete_ratio_threshold="0.1")
    lake.compact()
    lake.write(writer, [(2, 9), (5, 9)])
    assert lake.held() == lake.model


def test_keys_that_are_all_there_once_are_not_looked_at_twice(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olist.lake.row_locations.rows_of_keys", None)
    assert len(lake.writer().rows.index) == 6


def test_a_data_file_of_another_format_is_named(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = type(table(lake).scan()).plan_files

    def as_orc(scan: Any) -> Any:
        tasks = list(plan(scan))
        for task in tasks:
            task.file._data[2] = "ORC"
        return tasks

    monkeypatch.setattr(type(table(lake).scan()), "plan_files", as_orc)
    with pytest.raises(Stopped, match=r"parquet is of format ORC.*reads Parquet"):
        lake.writer()


def test_a_history_is_appended_to_whatever_others_do_to_it(tmp_path: Path) -> None:
    lake = Lake(local_settings(tmp_path))
    writer = lake.writer(history=True)
    lake.write(writer, [(1, 1)])
    now = lake.catalog.load_table(identifier("notes_changes"))
    now.append(now.scan().to_arrow().slice(0, 0))
    lake.write(writer, [(1, 2)])
    there = lake.catalog.load_table(identifier("notes_changes")).scan().to_arrow()
    assert {row["value"] for row in there.to_pylist()} == {1, 2}
    assert OP in there.column_names
