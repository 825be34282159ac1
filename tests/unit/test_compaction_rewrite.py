from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.table.snapshots import Operation

from olist.lake.ancestry import POSITIONS
from olist.lake.catalog import identifier
from olist.lake.row_delta import Replace
from tests.lakes import NOTES, WHOLE_NOTES, Lake, local_settings


@pytest.fixture(params=[NOTES, WHOLE_NOTES], ids=["partitioned", "whole"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return Lake(local_settings(tmp_path), request.param)


def filled(lake: Lake, batches: int = 6) -> None:
    writer = lake.writer()
    for batch in range(batches):
        lake.write(writer, [(key, batch * 100 + key) for key in range(batch, batch + 12)])
    lake.write(writer, [(key, None) for key in range(3)])


def test_a_compaction_leaves_the_same_rows_in_fewer_files(lake: Lake) -> None:
    filled(lake)
    assert lake.held() == lake.model
    report = lake.compact()
    assert lake.held() == lake.model
    assert report.after.data_files < report.before.data_files
    assert (report.after.delete_files, report.after.delete_rows) == (0, 0)
    assert report.after.rows == len(lake.model)


def test_a_second_compaction_finds_nothing_to_do(lake: Lake) -> None:
    filled(lake)
    lake.compact()
    report = lake.compact()
    assert (report.commits, report.rewritten_bytes) == (0, 0)


def test_a_compaction_leaves_the_positions_and_says_that_it_moved_none(lake: Lake) -> None:
    filled(lake)
    before = lake.catalog.load_table(identifier(lake.contract.table)).properties[POSITIONS]
    lake.compact()
    table = lake.catalog.load_table(identifier(lake.contract.table))
    assert table.properties[POSITIONS] == before
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary["olist.positions.moved"] == "{}"
    assert snapshot.summary.operation == Operation.REPLACE


def test_a_writer_goes_on_after_a_compaction_without_indexing_the_table_anew(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = lake.writer()
    for batch in range(6):
        lake.write(writer, [(key, batch) for key in range(10)])
    lake.compact()
    monkeypatch.setattr(type(writer), "assign", None)
    lake.write(writer, [(key, 7) for key in range(5)] + [(9, None)])
    lake.compact()
    lake.write(writer, [(key, 8) for key in range(3, 12)])
    assert lake.held() == lake.model


def test_a_batch_that_was_staged_before_a_compaction_is_committed_after_it(lake: Lake) -> None:
    writer = lake.writer()
    for batch in range(6):
        lake.write(writer, [(key, batch) for key in range(10)])
    changes: list[tuple[int, int | None]] = [(1, 100), (2, None), (50, 1)]
    frame, to = lake.changes.frame(changes)
    staged = writer.stage(frame)
    lake.compact()
    held = writer.positions
    assert held is not None
    writer.commit(staged, held, {p: end for p, end in to.items() if end > held.next[p]})
    lake.learn(changes)
    assert lake.held() == lake.model


def test_deletes_that_arrive_during_the_rewrite_are_translated(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = lake.writer()
    for batch in range(6):
        lake.write(writer, [(key + 10 * batch, batch) for key in range(10)])
    commit, left = Replace.commit, 3

    def interrupted(replace: Replace) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            lake.write(writer, [(left, 1000 + left), (left + 20, None), (left + 200, 7)])
        commit(replace)

    monkeypatch.setattr(Replace, "commit", interrupted)
    report = lake.compact()
    assert (report.conflicts, report.lost) == (3, 0)
    assert report.translated == 6
    assert lake.held() == lake.model
    lake.write(writer, [(key, 1) for key in range(60)])
    assert lake.held() == lake.model


def test_of_two_compactions_at_once_one_is_lost_and_no_row_with_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(lake)
    commit = Replace.commit

    def overtaken(replace: Replace) -> None:
        monkeypatch.setattr(Replace, "commit", commit)
        lake.compact()
        commit(replace)

    monkeypatch.setattr(Replace, "commit", overtaken)
    report = lake.compact()
    assert report.lost == 1
    assert lake.held() == lake.model
