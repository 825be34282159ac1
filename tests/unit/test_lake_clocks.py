"""Whatever the clocks of its writers say, a table's times go forward: Java, Rust and Go refuse it otherwise."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pyiceberg.table import Table

from olist.lake.ancestry import accept_rows, rollback
from olist.lake.catalog import identifier
from tests.lakes import Lake, local_settings

HOUR_S = 3600
FAR = 1 << 42


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(local_settings(tmp_path))


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier(lake.contract.table))


def set_clock(patch: pytest.MonkeyPatch, ahead_s: int) -> None:
    """The clock that PyIceberg reads."""
    now = time.time

    class Clock:
        @staticmethod
        def now() -> datetime:
            return datetime.now() + timedelta(seconds=ahead_s)

    patch.setattr("pyiceberg.table.snapshots.time.time", lambda: now() + ahead_s)
    patch.setattr("pyiceberg.table.update.datetime", Clock)


def times(lake: Lake) -> list[int]:
    """Every time of a table's metadata, in the order of its commits."""
    metadata = table(lake).metadata
    log = [entry.timestamp_ms for entry in metadata.snapshot_log]
    return [*log, metadata.last_updated_ms]


def test_commits_of_writers_whose_clocks_differ_follow_each_other(lake: Lake) -> None:
    lake.writer()
    for turn, ahead_s in enumerate((HOUR_S, 0, -HOUR_S, HOUR_S, 0)):
        with pytest.MonkeyPatch.context() as patch:
            set_clock(patch, ahead_s)
            lake.write(lake.writer(), [(key, turn) for key in range(4)])
    said = times(lake)
    assert said == sorted(said)
    snapshots = [snapshot.timestamp_ms for snapshot in table(lake).snapshots()]
    assert len(set(snapshots)) == 5, "each is younger than the one before"
    assert snapshots == sorted(snapshots)
    assert lake.held() == lake.model


def test_commits_without_rows_and_compactions_are_no_older_than_what_was_there(lake: Lake) -> None:
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, HOUR_S)
        for turn in range(3):
            lake.write(lake.writer(), [(key, turn) for key in range(4)])
    newest = times(lake)[-1]
    lake.properties(min_input_files="2")
    assert times(lake)[-1] == newest
    assert lake.compact(lake.job(now_ms=FAR)).commits > 0
    log = [entry.timestamp_ms for entry in table(lake).metadata.metadata_log]
    assert times(lake) == sorted(times(lake))
    assert log == sorted(log)
    with table(lake).update_schema() as update:
        update.update_column(("words",), doc="of a note")
    assert times(lake)[-1] > newest


def test_rows_are_accepted_no_earlier_than_they_were_set_back(lake: Lake) -> None:
    for turn in range(3):
        lake.write(lake.writer(), [(key, turn) for key in range(4)])
    now = table(lake)
    with pytest.MonkeyPatch.context() as patch:
        set_clock(patch, HOUR_S)
        now.manage_snapshots().set_current_snapshot(now.snapshots()[0].snapshot_id).commit()
    back = table(lake)
    stands, committed = rollback(back, lake.contract.table)
    assert stands is not None
    assert committed is not None
    accept_rows(lake.catalog, back, stands)
    assert times(lake) == sorted(times(lake))
