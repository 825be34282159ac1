from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.table import Table
from pyiceberg.table.statistics import PartitionStatisticsFile
from pyiceberg.table.update import RemoveSnapshotsUpdate, SetPartitionStatisticsUpdate

from compaction import deferred_deletes
from compaction.deferred_deletes import FOLDER, DeferredDelete, pending_deletes
from compaction.expire import expired
from compaction.options import Retention
from compaction.storage import Stored, canonical, stored
from compaction.sweep import orphans
from olist.errors import Stopped
from olist.lake.ancestry import AUDITED, MOVED, POSITIONS, audited_of, fold, ranges_of
from olist.lake.catalog import identifier
from olist.lake.files import amended, wall_ms
from olist.lake.manifests import Manifests
from olist.lake.row_delta import OneCommit, RowDelta
from olist.positions import Positions
from tests.lakes import Lake, local_settings

FAR = 1 << 42  # a clock by which every snapshot is old and every grave due


@pytest.fixture(scope="module")
def eight_commits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Lake]:
    """Eight commits: the folder of their lake, a copy of it, and the lake."""
    home, copy = tmp_path_factory.mktemp("lake"), tmp_path_factory.mktemp("copy")
    lake = Lake(local_settings(home))
    writer = lake.writer()
    for value in range(8):
        lake.write(writer, [(key, value) for key in range(6)])
    keep(lake, snapshots=2, grace_ms=0)
    lake.catalog.close()
    shutil.copytree(home, copy, dirs_exist_ok=True)
    return home, copy, lake


@pytest.fixture
def lake(eight_commits: tuple[Path, Path, Lake]) -> Iterator[Lake]:
    """As it was after the eight commits. It stands in the same folder for every test: Iceberg's paths are absolute."""
    home, copy, first = eight_commits
    shutil.rmtree(home)
    shutil.copytree(copy, home)
    lake = Lake(first.settings)
    lake.changes, lake.model = deepcopy(first.changes), dict(first.model)
    yield lake
    lake.catalog.close()


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
    assert expired(table(lake).metadata, Retention(max_age_ms=60_000, min_snapshots=1), now_ms=0) == []


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


def test_a_query_of_hours_finds_its_files_though_its_snapshot_goes_in_a_minute(tmp_path: Path) -> None:
    lake = Lake(local_settings(tmp_path / "defaults"))
    writer = lake.writer()
    for value in range(30):
        lake.write(writer, [(1, value)])
    planned = {task.file.file_path for task in table(lake).scan().plan_files()}
    head, started_ms = table(lake).metadata.current_snapshot_id, wall_ms() + 61_000
    for minute in (0, 1, 239):
        for value in range(22):
            lake.write(writer, [(1, minute + value)])
        lake.compact(lake.job(now_ms=started_ms + minute * 60_000))
        assert planned <= files(lake)
    assert head is not None
    assert table(lake).metadata.snapshot_by_id(head) is None
    lake.compact(lake.job(now_ms=started_ms + 242 * 60_000))
    assert not planned & files(lake)


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


def test_a_branch_keeps_its_own_snapshots_and_all_their_files(lake: Lake) -> None:
    third = table(lake).snapshots()[2].snapshot_id
    with table(lake).manage_snapshots() as refs:
        refs.create_branch(third, "audit", min_snapshots_to_keep=2)
    with table(lake).manage_snapshots() as refs:
        refs.create_branch(table(lake).snapshots()[4].snapshot_id, "young", max_snapshot_age_ms=2 * FAR)
    model = dict.fromkeys(range(6), 2)
    for turn in (1, 2):
        lake.compact(lake.job(now_ms=turn * FAR))
    kept = {snapshot.snapshot_id for snapshot in table(lake).snapshots()}
    assert third in kept
    assert len(kept) == 5 + 2  # the younger branch's five, two of them the other's too, and main's two
    read = table(lake).scan(snapshot_id=third).to_arrow()
    assert dict(zip(read["note_id"].to_pylist(), read["value"].to_pylist(), strict=True)) == model
    manifests = Manifests(table(lake).io)
    assert {path for snapshot in table(lake).snapshots() for path in manifests.contents(snapshot).paths} <= files(lake)
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
    job.env.catalog.load_table = lambda *_: loaded  # type: ignore[method-assign]  # what it saw before the tag
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job.env.catalog, "commit_table", tagging(lake, first, job.env.catalog.commit_table))
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


def expire_elsewhere(lake: Lake, numbers: slice) -> None:
    """What another engine's `expire_snapshots` does to the metadata."""
    gone = [snapshot.snapshot_id for snapshot in table(lake).snapshots()[numbers]]
    lake.catalog.commit_table(table(lake), (), (RemoveSnapshotsUpdate(snapshot_ids=gone),))


@pytest.mark.parametrize("audited", [False, True])
def test_snapshots_that_another_engine_expired_are_no_gap(lake: Lake, *, audited: bool) -> None:
    if audited:
        assert lake.compact(lake.job(now_ms=FAR)).expired > 0
    writer = lake.writer()
    for value in range(8):
        lake.write(writer, [(key, value) for key in range(value, 6 + value)])
    expire_elsewhere(lake, slice(5))
    assert lake.compact(lake.job(now_ms=FAR)).expired > 0
    lake.write(lake.writer(), [(key, 9) for key in range(6)])
    keep(lake, snapshots=1, grace_ms=0)
    assert lake.compact(lake.job(now_ms=FAR)).expired > 0
    assert lake.held() == lake.model


def test_a_gap_between_two_snapshots_that_are_there_stops_the_expiry_and_leaves_no_list(lake: Lake) -> None:
    stands = lake.writer().positions
    assert stands is not None
    for moved in ('{"0": [1000, 1001]}', "{}"):
        transaction = OneCommit(table(lake))
        RowDelta(transaction, [], [], {MOVED: moved, POSITIONS: stands.advanced({0: 1001}).encode()}).commit()
        transaction.commit_transaction()
    keep(lake, snapshots=1, grace_ms=0)
    with pytest.raises(Stopped, match="changes are lost"):
        lake.job(now_ms=FAR).expire()
    assert list(pending_deletes(table(lake), lake.settings)) == []


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
    found = orphans(lambda: table(lake), lake.settings, older_than_ms=0, now_ms=FAR).files
    assert {file.path for file in found} == left
    assert orphans(lambda: table(lake), lake.settings, older_than_ms=FAR, now_ms=FAR).files == []


@pytest.mark.parametrize("written", [b"", b'["file:///some/da'], ids=["empty", "half"])
def test_a_half_written_list_of_expired_files_deletes_nothing_and_is_removed(lake: Lake, written: bytes) -> None:
    path = f"{table(lake).location()}/{FOLDER}/1-killed.json"
    with table(lake).io.new_output(path).create() as out:
        out.write(written)
    assert orphans(lambda: table(lake), lake.settings, older_than_ms=0, now_ms=FAR).files == []
    assert lake.compact(lake.job(now_ms=FAR)).expired > 0
    assert path not in files(lake)
    assert lake.held() == lake.model


def test_two_runs_may_clear_the_same_lists(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = DeferredDelete(f"{table(lake).location()}/{FOLDER}/1-cleared.json", 1)
    monkeypatch.setattr(deferred_deletes, "pending_deletes", lambda *found: [gone, *pending_deletes(*found)])
    report = lake.compact(lake.job(now_ms=FAR))
    assert report.deleted_files > 0
    assert lake.held() == lake.model


def test_a_sweep_leaves_statistics_alone(lake: Lake) -> None:
    now = table(lake)
    head = now.snapshots()[-1].snapshot_id
    path = f"{now.location()}/metadata/partition-stats.parquet"
    with now.io.new_output(path).create() as out:
        out.write(b"statistics")
    said = PartitionStatisticsFile(**{"snapshot-id": head, "statistics-path": path, "file-size-in-bytes": 10})
    lake.catalog.commit_table(now, (), (SetPartitionStatisticsUpdate(**{"partition-statistics": said}),))
    assert orphans(lambda: table(lake), lake.settings, older_than_ms=0, now_ms=FAR).files == []


@pytest.mark.parametrize(
    "spelled",
    [
        lambda path: path.replace("file:///", "file:/"),
        lambda path: path.removeprefix("file://").replace("/data/", "//%64ata/"),
    ],
    ids=["one slash", "plain, a doubled slash and percent-encoding"],
)
def test_a_live_file_is_no_orphan_however_another_engine_spells_its_path(
    lake: Lake, spelled: Callable[[str], str]
) -> None:
    (file, *_) = lake.writer().stage(lake.changes.frame([(1, 5)])[0]).data_files
    real = file.file_path
    assert [found.path for found in orphans_of(lake) if found.path == real] == [real]
    named = amended(file, file_path=spelled(real))
    assert named.file_path != real
    transaction = OneCommit(table(lake))
    RowDelta(transaction, [named], [], {}).commit()
    transaction.commit_transaction()
    assert [found.path for found in orphans_of(lake) if found.path == real] == []


def orphans_of(lake: Lake) -> list[Stored]:
    return orphans(lambda: table(lake), lake.settings, older_than_ms=0, now_ms=FAR).files


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("s3a://lake/w/a.parquet", "s3://lake/w/a.parquet"),
        ("s3n://lake/w//a.parquet", "s3://lake/w/a.parquet"),
        ("s3://lake/w/m=a%20b/c.parquet", "s3a://lake/w/m=a b/c.parquet"),
        ("s3://lake/w/m=a%2520b/c.parquet", "s3a://lake/w/m=a%20b/c.parquet"),
        ("file:/w/a", "/w/a"),
        ("file:////w/a", "file:///w//a"),
    ],
)
def test_spellings_of_one_path_are_one(path: str, same: str) -> None:
    assert canonical(path) == canonical(same)


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("s3://lake/w/a", "s3://lake/w/b"),
        ("s3://lake/w/a", "s3://lakes/w/a"),
        ("/w/a", "/w/A"),
        ("/lake/w", "s3://lake/w"),
    ],
)
def test_other_paths_stay_others(path: str, other: str) -> None:
    assert canonical(path) != canonical(other)
