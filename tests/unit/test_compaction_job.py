from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import polars as pl
import pytest

from compaction.rewrite import Budget
from olist.batches import COMMITTED_AT, META, OFFSET, PARTITION
from olist.contracts import Int, Long, Micros, Money, Portuguese, Row, Str
from olist.errors import Fenced, ServerTrouble
from olist.lake.backpressure import LONGEST_PAUSE_S, MOST_FILES, pause_s
from olist.lake.catalog import identifier
from olist.lake.row_delta import Replace
from olist.lake.row_locations import REINDEXING
from olist.lake.table import LakeTable
from olist.positions import Positions
from tests.lakes import NOTES, PARTITIONS, Lake, local_settings


class WiderNote(Row):
    """A note with a wider price, a longer number and one more column."""

    note_id: Int
    place: Str
    value: Long
    price: Annotated[Decimal, Money(18, 2)] | None
    seen_at: Micros
    words: Portuguese | None
    answer: Str | None = None


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(local_settings(tmp_path))


def test_a_history_is_packed_and_sorted_by_time_of_change_and_loses_no_change(lake: Lake) -> None:
    history = lake.writer(history=True)
    for value in range(6):
        lake.write(history, [(1, value), (2, value)])
        lake.write(history, [(1, None)])
    before = history.table.refresh().scan().to_arrow()
    report = lake.compact(lake.job(history=True))
    after = pl.DataFrame(pl.from_arrow(history.table.refresh().scan().to_arrow()))
    assert (report.before.data_files, report.after.data_files) == (12, 1)
    rows = after.select(COMMITTED_AT, PARTITION, OFFSET).rows()
    assert rows == sorted(rows)
    assert after.sort(PARTITION, OFFSET).equals(pl.DataFrame(pl.from_arrow(before)).sort(PARTITION, OFFSET))
    lake.write(history, [(1, 9)])
    assert history.table.scan().count() == after.height + 1


def test_files_of_an_older_schema_are_rewritten_in_the_newest(lake: Lake) -> None:
    writer = lake.writer()
    for value in range(3):
        lake.write(writer, [(key, value) for key in range(5)])
    newer = Lake(lake.settings, replace(NOTES, row=WiderNote), model=lake.model)
    newer.changes.offsets = lake.changes.offsets
    writer = newer.writer()
    for value in range(2**40, 2**40 + 3):
        frame, to = newer.changes.frame([(9, 7)])
        held = writer.positions
        assert held is not None
        frame = frame.with_columns(pl.lit(value).alias("value"), pl.lit("yes").alias("answer"))
        writer.commit(writer.stage(frame), held, {p: end for p, end in to.items() if end > held.next[p]})
    newer.properties(min_input_files="2")
    newer.compact()
    rows = newer.catalog.load_table(identifier("notes")).scan().to_arrow().to_pylist()
    assert {row["note_id"]: (row["value"], row["answer"]) for row in rows} == {
        **dict.fromkeys(range(5), (2, None)),
        9: (2**40 + 2, "yes"),
    }


def test_delete_files_are_merged_where_their_data_file_is_not_worth_rewriting(lake: Lake) -> None:
    writer = lake.writer()
    lake.write(writer, [(key, 0) for key in range(0, 600, 3)])  # one month, one file
    lake.properties(min_input_files="100")
    for key in range(0, 24, 3):
        lake.write(writer, [(key, None)])
    report = lake.compact()
    assert (report.before.delete_files, report.after.delete_files) == (8, 1)
    assert report.before.data_files == report.after.data_files
    assert lake.held() == lake.model
    lake.write(writer, [(key, 1) for key in range(0, 60, 3)])
    assert lake.held() == lake.model


def test_delete_files_that_do_not_fit_in_memory_together_are_merged_one_group_after_the_other(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = lake.writer()
    lake.write(writer, [(key, 0) for key in range(600)])  # three months, a file each
    lake.properties(min_input_files="100")
    for key in range(0, 24, 3):
        lake.write(writer, [(key + month, None) for month in range(3)])
    monkeypatch.setattr(Budget, "delete_rows", 10)
    report = lake.compact()
    assert (report.before.delete_files, report.after.delete_files) == (24, 3)
    assert (report.commits, report.lost) == (3, 0)
    assert lake.held() == lake.model


def test_rows_keep_the_change_that_they_came_from(lake: Lake) -> None:
    writer = lake.writer()
    for value in range(5):
        lake.write(writer, [(key, value) for key in range(5)])
    origin = [name for name in META if name in writer.table.schema().column_names]
    columns = ["note_id", *origin]
    before = pl.DataFrame(pl.from_arrow(writer.table.scan().to_arrow())).select(columns).sort("note_id")
    lake.compact()
    after = pl.DataFrame(pl.from_arrow(writer.table.refresh().scan().to_arrow())).select(columns).sort("note_id")
    assert after.equals(before)


def test_a_writer_whose_files_another_tool_rewrote_indexes_the_table_anew(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = lake.writer()
    for value in range(5):
        lake.write(writer, [(key, value) for key in range(5)])
    monkeypatch.setattr("compaction.commit.MOVES", "somebody.elses")
    lake.compact()
    frame, to = lake.changes.frame([(1, 9)])
    held = writer.positions
    assert held is not None
    with pytest.raises(ServerTrouble, match=REINDEXING):
        writer.commit(writer.stage(frame), held, {p: end for p, end in to.items() if end > held.next[p]})
    writer.open()
    writer.assign(frozenset(range(PARTITIONS)))
    writer.commit(writer.stage(frame), held, {p: end for p, end in to.items() if end > held.next[p]})
    assert lake.held() == lake.model | {1: 9}


def test_a_writer_of_a_table_that_was_made_again_is_fenced(lake: Lake) -> None:
    old = lake.writer()
    lake.write(old, [(1, 1)])
    frame, to = lake.changes.frame([(1, 2)])
    staged, held = old.stage(frame), old.positions
    assert held is not None
    LakeTable(lake.catalog, NOTES).drop()
    lake.writer()
    with pytest.raises(Fenced, match="made again"):
        old.commit(staged, held, {p: end for p, end in to.items() if end > held.next[p]})


def test_a_table_beyond_its_bounds_asks_for_a_rest(lake: Lake) -> None:
    lake.write(lake.writer(), [(1, 1)])
    with lake.catalog.load_table(identifier("notes")).transaction() as transaction:
        transaction.set_properties({MOST_FILES: "4"})
    rests: list[float] = []
    writer = LakeTable(lake.catalog, NOTES)
    writer.open()
    writer.assign(frozenset(range(PARTITIONS)))
    for value in range(2, 6):
        lake.write(writer, [(1, value)])
        rests.append(writer.backpressure_s)
    assert rests == [0.0, pytest.approx(2.5), pytest.approx(7.5), LONGEST_PAUSE_S]


def test_a_pause_grows_from_the_bound_to_twice_the_bound() -> None:
    assert [pause_s(files, 1, 10, 100) for files in (0, 10, 15, 20, 90)] == [0, 0, 5, 10, 10]
    assert pause_s(0, 150, 10, 100) == 5


def test_a_killed_compaction_leaves_the_table_as_it_was(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = lake.writer()
    for value in range(6):
        lake.write(writer, [(key, value) for key in range(5)])

    def killed(_replace: Replace) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Replace, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            lake.compact()
    assert lake.held() == lake.model
    lake.write(writer, [(1, 100)])
    lake.compact()
    assert lake.held() == lake.model


def test_positions_of_the_model_are_those_of_the_table(lake: Lake) -> None:
    writer = lake.writer()
    lake.write(writer, [(1, 1), (2, 2)])
    assert writer.positions == Positions("notes", "id", lake.changes.offsets)
