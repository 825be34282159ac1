from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.table import Table

from compaction.expire import AUDITED, audited_of, expired, fold, ranges_of
from compaction.storage import stored
from compaction.sweep import orphans
from compaction.thresholds import Keeping
from olist.errors import Stopped
from olist.lake.catalog import identifier
from olist.positions import Positions
from tests.lakes import Lake, local_settings

FAR = 1 << 42  # a clock by which every snapshot is old and every grave due


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(local_settings(tmp_path))
    writer = lake.writer()
    for value in range(8):
        lake.write(writer, [(key, value) for key in range(6)])
    keep(lake, snapshots=2, grace_ms=0)
    return lake


def keep(lake: Lake, *, snapshots: int, grace_ms: int) -> None:
    lake.properties(grace_ms=str(grace_ms))
    with table(lake).transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": str(snapshots)})


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier(lake.contract.table))


def files(lake: Lake) -> set[str]:
    return {file.path for file in stored(table(lake).location(), lake.settings)}


def test_the_last_snapshots_stay_and_older_ones_go_with_the_files_that_only_they_used(lake: Lake) -> None:
    assert lake.compact(lake.job(now_ms=FAR)).after.snapshots == 2
    keep(lake, snapshots=1, grace_ms=0)
    before = files(lake)
    assert lake.compact(lake.job(now_ms=FAR)).after.snapshots == 1
    assert len(files(lake)) < len(before) / 2
    assert lake.held() == lake.model


def test_young_snapshots_stay_however_many(lake: Lake) -> None:
    assert expired(table(lake).metadata, Keeping(max_age_ms=60_000, min_snapshots=1), now_ms=0) == []


def test_files_of_expired_snapshots_stay_for_the_grace_of_readers(lake: Lake) -> None:
    keep(lake, snapshots=1, grace_ms=1000)
    scan = table(lake).scan()
    planned = list(scan.plan_files())
    lake.compact(lake.job(now_ms=FAR))
    assert len({task.file.file_path for task in planned} & files(lake)) == len(planned)
    report = lake.compact(lake.job(now_ms=FAR + 1001))
    assert report.deleted_files > 0
    assert not {task.file.file_path for task in planned} & files(lake)
    assert lake.held() == lake.model


def test_a_tag_keeps_its_snapshot_and_all_its_files(lake: Lake) -> None:
    first = table(lake).snapshots()[0].snapshot_id
    model = dict.fromkeys(range(6), 0)
    with table(lake).manage_snapshots() as refs:
        refs.create_tag(first, "first")
    lake.compact(lake.job(now_ms=FAR))
    lake.compact(lake.job(now_ms=FAR))
    read = table(lake).scan(snapshot_id=first).to_arrow()
    assert dict(zip(read["note_id"].to_pylist(), read["value"].to_pylist(), strict=True)) == model
    assert lake.held() == lake.model


def test_a_tag_in_the_middle_leaves_no_gap_in_the_audit(lake: Lake) -> None:
    writer = lake.writer()
    for value in range(8):
        lake.write(writer, [(key, value) for key in range(6)])
    now = table(lake)
    with now.manage_snapshots() as refs:
        refs.create_tag(now.snapshots()[3].snapshot_id, "month-end")
    with now.transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": "1"})
    for turn in (1, 2):
        assert lake.compact(lake.job(now_ms=turn * FAR)).expired > 0
        writer = lake.writer()
        for value in range(8):
            lake.write(writer, [(key, value) for key in range(6)])
    assert lake.held() == lake.model


def test_a_tag_put_on_a_snapshot_while_it_expires_is_not_lost(lake: Lake) -> None:
    job = lake.job(now_ms=FAR)
    loaded = table(lake)
    first = loaded.snapshots()[0].snapshot_id
    job.means.catalog.load_table = lambda *_: loaded  # type: ignore[method-assign]  # what it saw before the tag
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job.means.catalog, "commit_table", tagging(lake, first, job.means.catalog.commit_table))
        assert job.expire() == 0
    assert "first" in table(lake).metadata.refs


def tagging(lake: Lake, snapshot: int, commit: object) -> object:
    def commit_after_a_tag(*arguments: object) -> object:
        del lake.catalog.load_table  # the real one again
        lake.catalog.commit_table = commit  # type: ignore[method-assign, assignment]
        with table(lake).manage_snapshots() as refs:
            refs.create_tag(snapshot, "first")
        assert callable(commit)
        return commit(*arguments)

    return commit_after_a_tag


def test_metadata_files_stay_few(lake: Lake) -> None:
    writer = lake.writer()
    for value in range(30):
        lake.write(writer, [(1, value)])
        if value % 10 == 0:
            lake.compact(lake.job(now_ms=FAR))
    assert len([path for path in files(lake) if path.endswith(".metadata.json")]) <= 25


def test_what_expired_commits_said_of_positions_is_folded_into_the_audit(lake: Lake) -> None:
    lake.compact(lake.job(now_ms=FAR))
    now = table(lake)
    assert now.properties[AUDITED] != "{}"
    ends = fold(audited_of(now.metadata), [ranges_of(snapshot) for snapshot in now.snapshots()])
    assert ends == Positions.decode(now.properties["olist.positions"]).next


def test_a_gap_or_an_overlap_stops_the_expiry() -> None:
    with pytest.raises(Stopped, match="lost"):
        fold({0: 5}, [{0: (6, 9)}])
    with pytest.raises(Stopped, match="doubled"):
        fold({0: 5}, [{0: (4, 9)}])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5))))
def test_ranges_that_follow_each_other_fold_to_their_end(moves: list[tuple[int, int]]) -> None:
    ends: dict[int, int] = {}
    ranges = []
    for partition, length in moves:
        start = ends.get(partition, 0)
        ends[partition] = start + length
        ranges.append({partition: (start, start + length)})
    assert fold({}, ranges) == ends


def test_a_sweep_lists_what_a_killed_writer_left_and_nothing_else(lake: Lake) -> None:
    writer = lake.writer()
    staged = writer.stage(lake.changes.frame([(1, 5)])[0])
    left = {file.file_path for file in [*staged.data_files, *staged.delete_files]}
    keep(lake, snapshots=1, grace_ms=1000)
    lake.compact(lake.job(now_ms=FAR))
    found = orphans(lambda: table(lake), lake.settings, older_than_ms=0, now_ms=FAR)
    assert {file.path for file in found} == left
    assert orphans(lambda: table(lake), lake.settings, older_than_ms=FAR, now_ms=FAR) == []
