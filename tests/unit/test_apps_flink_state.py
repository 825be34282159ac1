"""Where a Flink app's state is found again when the cluster has forgotten its jobs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from olist.settings import Settings
from stream_apps.deploy.engine import Place
from stream_apps.deploy.flink_engine import FlinkEngine, completed_at, local
from stream_apps.deploy.record import Standing


@pytest.fixture
def engine(tmp_path: Path) -> FlinkEngine:
    return FlinkEngine(Settings(home=tmp_path, flink=None))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("a", tmp_path / "apps/a/1", tmp_path / "apps/a/state", 1, 1, 1)


def whole(folder: Path, at: int) -> str:
    folder.mkdir(parents=True)
    (folder / "_metadata").touch()
    os.utime(folder / "_metadata", (at, at))
    return folder.as_uri()


def test_a_job_goes_on_from_its_newest_checkpoint_that_is_whole(
    engine: FlinkEngine, place: Place, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "flink" / "checkpoints"
    whole(checkpoints / "job2" / "chk-9", at=109)
    newest = whole(checkpoints / "job2" / "chk-10", at=110)
    (checkpoints / "job2" / "chk-11").mkdir()  # was being written when all died
    whole(checkpoints / "job1" / "chk-99", at=120)  # of a job that ran before, from another state
    standing = Standing(jobs=("job1", "job2"), savepoint=whole(tmp_path / "sp", at=90), restored="file:/older")
    assert engine.resume_from(place, standing) == newest


def test_a_job_goes_on_from_its_savepoint_when_that_is_newer(engine: FlinkEngine, place: Place, tmp_path: Path) -> None:
    whole(tmp_path / "flink" / "checkpoints" / "job" / "chk-9", at=109)
    savepoint = whole(tmp_path / "sp", at=110)
    assert engine.resume_from(place, Standing(jobs=("job",), savepoint=savepoint)) == savepoint


def test_a_job_that_wrote_no_checkpoint_goes_on_from_what_it_began_with(engine: FlinkEngine, place: Place) -> None:
    assert engine.resume_from(place, Standing(jobs=("job",), restored="file:/began")) == "file:/began"
    assert engine.resume_from(place, Standing(jobs=("job",))) == ""


def test_a_savepoint_that_is_gone_is_not_restored_and_one_elsewhere_is_the_clusters_to_find(
    engine: FlinkEngine, tmp_path: Path
) -> None:
    there = whole(tmp_path / "with space", at=5)
    assert (local(there), completed_at(there)) == (tmp_path / "with space", 5)
    assert engine.restorable(there)
    assert not engine.restorable((tmp_path / "gone").as_uri())
    assert engine.restorable("s3://lake/savepoint-1")


def test_what_is_resumed_from_is_kept_when_older_checkpoints_are_removed(
    engine: FlinkEngine, place: Place, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "flink" / "checkpoints"
    paths = [whole(checkpoints / job / "chk-1", at=1) for job in ("job1", "job2", "job3")]
    standing = Standing(jobs=("job1", "job2", "job3"), savepoint=whole(tmp_path / "sp", at=2))
    engine._trim(standing, resume=paths[1])
    assert [completed_at(path) > 0 for path in paths] == [False, True, True]
    engine.discard(place, standing)
    assert not any(completed_at(path) for path in (*paths, standing.savepoint))
