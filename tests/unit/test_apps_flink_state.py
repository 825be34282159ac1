"""Where a Flink app's state is found again when the cluster has forgotten its jobs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from olist.errors import ServerTrouble, Stopped
from olist.settings import Settings
from stream_apps.deploy.deployed_app import DeployedApp, Kafka
from stream_apps.deploy.reconcile import reconcile
from stream_apps.deploy.store import Deployment
from stream_apps.engine import Checkpoint, Version
from stream_apps.flink import engine as flink_engine
from stream_apps.flink.engine import FlinkEngine
from stream_apps.flink.rest_models import Exceptions, JobState, Vertex
from stream_apps.records import Record, VersionRecord, VersionState
from stream_apps.savepoints import completed_at, local, own, remove_older


@pytest.fixture
def engine(tmp_path: Path) -> FlinkEngine:
    return FlinkEngine(Settings(home=tmp_path, flink=None))


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return Version("a", tmp_path / "apps/a/1", tmp_path / "apps/a/state", 1, 1, 1)


def whole(folder: Path, at: int) -> str:
    folder.mkdir(parents=True)
    (folder / "_metadata").touch()
    os.utime(folder / "_metadata", (at, at))
    return folder.as_uri()


def test_a_job_goes_on_from_its_newest_checkpoint_that_is_whole(
    engine: FlinkEngine, version: Version, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "flink" / "checkpoints"
    whole(checkpoints / "job2" / "chk-9", at=109)
    newest = whole(checkpoints / "job2" / "chk-10", at=110)
    (checkpoints / "job2" / "chk-11").mkdir()  # was being written when all died
    whole(checkpoints / "job1" / "chk-99", at=120)  # of a job that ran before, from another state
    state = VersionState(jobs=("job1", "job2"), savepoint=whole(tmp_path / "sp", at=90), restored="file:/older")
    assert engine.resume_from(version.having(state)) == newest


def test_a_job_goes_on_from_its_savepoint_when_that_is_newer(
    engine: FlinkEngine, version: Version, tmp_path: Path
) -> None:
    whole(tmp_path / "flink" / "checkpoints" / "job" / "chk-9", at=109)
    savepoint = whole(tmp_path / "sp", at=110)
    assert engine.resume_from(version.having(VersionState(jobs=("job",), savepoint=savepoint))) == savepoint


def test_a_job_that_wrote_no_checkpoint_goes_on_from_what_it_began_with(engine: FlinkEngine, version: Version) -> None:
    assert engine.resume_from(version.having(VersionState(jobs=("job",), restored="file:/began"))) == "file:/began"
    assert engine.resume_from(version.having(VersionState(jobs=("job",)))) == ""


def test_a_savepoint_whose_asker_was_killed_is_found_once_it_is_whole(
    engine: FlinkEngine, version: Version, tmp_path: Path
) -> None:
    job = "0123456789abcdef"
    savepoints = version.states / "savepoints"
    recorded = whole(savepoints / "savepoint-fedcba-1", at=90)
    whole(savepoints / "savepoint-fedcba-2", at=130)  # of a job that ran before
    whole(tmp_path / "flink" / "checkpoints" / job / "chk-9", at=100)
    (savepoints / "savepoint-012345-2").mkdir()  # was being written when all died
    state = VersionState(jobs=("fedcba9876543210", job), savepoint=recorded, restored=recorded)
    assert engine.resume_from(version.having(state)).endswith("chk-9")
    written = whole(savepoints / "savepoint-012345-1", at=110)
    assert engine.resume_from(version.having(state)) == written


def test_a_job_that_wrote_nothing_goes_on_from_the_newer_state_it_began_with(
    engine: FlinkEngine, version: Version, tmp_path: Path
) -> None:
    savepoint = whole(tmp_path / "sp", at=90)
    began = whole(tmp_path / "flink" / "checkpoints" / "job1" / "chk-9", at=100)
    state = VersionState(jobs=("job1", "job2"), savepoint=savepoint, restored=began)
    assert engine.resume_from(version.having(state)) == began


def test_a_savepoint_that_is_gone_is_not_restored_and_one_elsewhere_is_the_clusters_to_find(
    engine: FlinkEngine, version: Version, tmp_path: Path
) -> None:
    there = whole(tmp_path / "with space", at=5)
    assert (local(there), completed_at(there)) == (tmp_path / "with space", 5)
    for path in (there, "s3://lake/savepoint-1"):
        engine.check_restorable(version.having(VersionState(savepoint=path)))
    with pytest.raises(Stopped, match=r"the state of version 1 is gone: file:.*/gone"):
        engine.check_restorable(version.having(VersionState(savepoint=(tmp_path / "gone").as_uri())))


def test_what_is_resumed_from_is_kept_when_older_checkpoints_are_removed(
    engine: FlinkEngine, version: Version, tmp_path: Path
) -> None:
    checkpoints = tmp_path / "flink" / "checkpoints"
    paths = [whole(checkpoints / job / "chk-1", at=1) for job in ("job1", "job2", "job3")]
    state = VersionState(jobs=("job1", "job2", "job3"), savepoint=whole(tmp_path / "sp", at=2))
    engine._trim(state.jobs[:-1], resume=paths[1])
    assert [completed_at(path) > 0 for path in paths] == [False, True, True]
    engine.discard(version.having(state))
    assert not any(completed_at(path) for path in (*paths, state.savepoint))


def test_a_version_that_failed_leaves_the_states_that_another_one_names(
    engine: FlinkEngine, version: Version, tmp_path: Path
) -> None:
    savepoint = whole(version.states / "savepoints" / "savepoint-job1-1", at=1)
    checkpoints = tmp_path / "flink" / "checkpoints"
    named, its_own = (whole(checkpoints / job / "chk-1", at=1) for job in ("job1", "job2"))
    failed = VersionState(jobs=("job1", "job2"), savepoint=savepoint, restored=savepoint)
    engine.discard(version.having(own(failed, keep=(savepoint.replace("file:///", "file:/"), named))))
    assert [completed_at(path) > 0 for path in (savepoint, named, its_own)] == [True, True, False]


def test_savepoints_that_are_older_than_the_newest_and_not_named_are_removed(version: Version) -> None:
    folder = version.states / "savepoints"
    named, older, newest, later = (whole(folder / f"savepoint-a-{at}", at=at) for at in (1, 2, 3, 4))
    half = folder / "savepoint-b-1"
    half.mkdir()
    os.utime(half, (2, 2))
    flinks = newest.replace("file:///", "file:/")  # as Flink writes it
    remove_older(version.states, keep=("s3://lake/savepoint-1",))
    assert half.exists(), "of a state elsewhere nobody knows how old it is"
    remove_older(version.states, keep=(flinks, named))
    assert [completed_at(path) > 0 for path in (named, older, newest, later)] == [True, False, True, True]
    assert not half.exists()


def test_a_failed_job_is_not_counted_against_its_app_while_kafka_is_away(
    engine: FlinkEngine, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def __init__(self, _settings: Settings) -> None: ...

        def names(self) -> list[str]:
            raise ServerTrouble("kafka", "it is away")

    monkeypatch.setattr(flink_engine, "Broker", Away)
    deployment = Deployment(version.states.parent)
    made = VersionRecord(number=1, generation=1, digest="d", made=0.0)
    wanted = Record(name="a", engine="flink", wanted="running", current=1, versions={1: made}, proven=True)
    deployment.write(wanted)
    with pytest.raises(ServerTrouble, match="kafka"):
        reconcile(DeployedApp(engine.settings, deployment, "flink", Kafka(engine.settings), engines=lambda *_: engine))
    assert deployment.record() == replace(wanted, error="it was gone")


def test_one_look_at_a_job_asks_for_its_checkpoints_once(
    engine: FlinkEngine, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    newest = Checkpoint("file:/chk-7", 101.0, 10)
    running = JobState("job", "app", "RUNNING", 100.0, (Vertex("v", "v", 1, "RUNNING"),))
    answers = {"job": running, "checkpoint": newest, "exceptions": Exceptions(0)}

    def answering(question: str) -> Callable[[str], object]:
        def answer(_job: str) -> object:
            asked.append(question)
            return answers[question]

        return answer

    for question in answers:
        monkeypatch.setattr(engine.flink, question, answering(question))
    observation = engine.observe(version.having(VersionState(jobs=("job",))))
    assert observation.settled
    assert observation.checkpoint is not None
    assert (observation.checkpoint.path, observation.checkpoint.at) == ("file:/chk-7", 101.0)
    assert sorted(asked) == ["checkpoint", "exceptions", "job"]
