"""When a Flink job is well, from what the cluster says of it."""

from __future__ import annotations

import pytest

from stream_apps.engine import Checkpoint
from stream_apps.flink.job import last_words
from stream_apps.flink.rest_models import Exceptions, JobState, Vertex, cause, exceptions, newest_checkpoint
from stream_apps.flink.submit import observation_of

NONE = Exceptions(0)


def job(state: str = "RUNNING", *vertices: str) -> JobState:
    """A job that was started at 100."""
    return JobState("j", "app", state, 100.0, tuple(Vertex("v", "v", 1, v) for v in vertices or ("RUNNING",)))


def checkpoint(at: float) -> Checkpoint:
    return Checkpoint("file:/chk-1", at, 10)


def test_a_job_settles_with_its_first_checkpoint() -> None:
    assert not observation_of(job(), None, NONE).settled
    assert observation_of(job(), checkpoint(101), NONE).settled


def test_a_job_is_not_settled_while_one_vertex_is_not_running() -> None:
    found = observation_of(job("RUNNING", "RUNNING", "INITIALIZING"), checkpoint(101), NONE)
    assert (found.phase, found.settled) == ("starting", False)


def test_a_failure_is_over_only_when_a_checkpoint_came_after_it() -> None:
    failure = Exceptions(1, "Error while getting state", at=105.0)
    assert observation_of(job(), checkpoint(104), failure).phase == "failing"
    assert not observation_of(job(), checkpoint(104), failure).settled
    assert observation_of(job(), checkpoint(106), failure).settled
    assert observation_of(job(), checkpoint(106), failure).error == "Error while getting state"


def test_a_job_that_restarts_is_failing_whatever_it_had_completed() -> None:
    assert (
        observation_of(job("RESTARTING", "CREATED"), checkpoint(106), Exceptions(2, "again", at=105.0)).phase
        == "failing"
    )


@pytest.mark.parametrize("state", ["FAILED", "FINISHED", "CANCELED"])
def test_a_job_that_has_ended_does_not_settle(state: str) -> None:
    found = observation_of(job(state, "FINISHED"), checkpoint(101), NONE)
    assert (found.phase, found.settled) == ("failed", False)


def test_the_last_words_are_the_causes_that_java_names() -> None:
    output = "WARNING: x\nTraceback\n: org.apache.flink.ValidationException: no table\n\tat a.b\nCaused by: no column\n"
    assert last_words(output) == ": org.apache.flink.ValidationException: no table\nCaused by: no column"
    assert last_words("first\nlast") == "first\nlast"


def test_a_checkpoint_that_newer_ones_have_replaced_was_completed_all_the_same() -> None:
    told = {"id": 3, "external_path": "file:/chk-3", "latest_ack_timestamp": 106_000, "state_size": 7}
    assert newest_checkpoint({"latest": {"completed": told}}) == Checkpoint("file:/chk-3", 106.0, 7)
    replaced = {**told, "discarded": True}  # by checkpoints newer than the answer
    assert newest_checkpoint({"latest": {"completed": replaced}}) == Checkpoint("file:/chk-3", 106.0, 7)
    assert newest_checkpoint({}) is None


def test_the_newest_exception_is_the_one_of_the_latest_time() -> None:
    entries = [{"timestamp": 5_000, "stacktrace": "new"}, {"timestamp": 4_000, "stacktrace": "old"}]
    assert exceptions({"exceptionHistory": {"entries": entries}}) == Exceptions(2, "new", 5.0)


def test_a_cause_is_told_without_frames() -> None:
    trace = "java.lang.Exception: outer\n\tat a.b(C.java:1)\nCaused by: inner\n\t... 3 more\n"
    assert cause(trace) == "Caused by: inner"
    assert cause("only this\n\tat a.b") == "only this"
