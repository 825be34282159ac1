"""What the supervisor does about apps that rest, and about those that go while it looks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from olist.errors import ServerTrouble
from olist.settings import Settings
from stream_apps import consumer_groups
from stream_apps.deploy import metrics, stack_hooks
from stream_apps.deploy.reconcile import decide
from stream_apps.deploy.status import state
from stream_apps.deploy.store import Deployment
from stream_apps.deploy.supervisor import Supervisor
from stream_apps.engine import Observation, Phase
from stream_apps.records import EngineName, Record, VersionRecord


def record(**changed: Any) -> Record:
    version = VersionRecord(number=1, generation=1, digest="d", made=0.0)
    given = {"name": "a", "engine": "flink", "wanted": "running", "current": 1, "versions": {1: version}}
    return Record(**{**given, **changed})


@pytest.mark.parametrize(
    ("engine", "phase", "expected"),
    [
        ("flink", "failed", "leave"),
        ("flink", "failing", "stop"),
        ("faust", "failed", "stop"),  # another of its workers may live
    ],
)
def test_a_stopped_app_is_stopped_until_nothing_of_it_runs(engine: EngineName, phase: Phase, expected: str) -> None:
    assert decide(record(engine=engine, wanted="stopped"), Observation(phase=phase), now=100.0) == expected


def test_a_failed_job_of_an_app_that_is_stopped_is_no_more_than_stopped() -> None:
    assert state(record(wanted="stopped"), Observation(phase="failed")) == "stopped"
    assert state(record(), Observation(phase="failed")) == "failed"
    assert state(record(wanted="stopped", engine="faust"), Observation(phase="failed")) == "failed"


@pytest.mark.parametrize("deleted", [True, False])
def test_an_app_that_is_deleted_while_it_is_looked_at_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    settings = Settings(home=tmp_path)
    deployment = Deployment.of(settings, "a")
    deployment.write(record())

    def status_of(*_: object) -> None:
        if deleted:
            shutil.rmtree(deployment.path)
        raise FileNotFoundError

    monkeypatch.setattr(metrics, "status_of", status_of)
    observer = metrics.Observer(settings)
    with nullcontext() if deleted else pytest.raises(FileNotFoundError):
        observer.observe()


def test_a_supervisor_that_another_was_faster_than_ends_without_a_word_of_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(home=tmp_path)
    home = stack_hooks.supervisor_home(settings)
    home.make()
    with home.claim():
        Supervisor(settings).run()
    assert "another supervisor lives here" in capsys.readouterr().out


def deleting(monkeypatch: pytest.MonkeyPatch, *answers: int) -> Iterator[int]:
    """A broker that refuses to delete a group with these codes, one after the other; gives those it has not used."""
    left = iter(answers)

    class Admin:
        def delete_consumer_groups(self, names: list[str], **_: Any) -> dict[str, Future[None]]:
            answer: Future[None] = Future()
            answer.set_exception(KafkaException(KafkaError(next(left))))
            return dict.fromkeys(names, answer)

    monkeypatch.setattr(consumer_groups, "admin_client", lambda _bootstrap: Admin())
    monkeypatch.setattr(consumer_groups, "PAUSE_S", 0.0)
    return left


def test_a_group_that_never_was_is_gone_also_on_a_broker_that_has_known_none(monkeypatch: pytest.MonkeyPatch) -> None:
    first_ever = (KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR)
    left = deleting(monkeypatch, *first_ever, KafkaError.NON_EMPTY_GROUP, KafkaError.GROUP_ID_NOT_FOUND)
    consumer_groups.delete_group(Settings(), "nobody")
    assert list(left) == []


def test_a_group_that_may_not_be_deleted_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    left = deleting(monkeypatch, KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.GROUP_ID_NOT_FOUND)
    with pytest.raises(ServerTrouble, match="was not deleted"):
        consumer_groups.delete_group(Settings(), "nobody")
    assert len(list(left)) == 1
