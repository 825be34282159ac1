from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from olist.errors import StackError
from stream_apps.deploy.readiness import until_idle
from stream_apps.deploy.status import AppStatus
from tests.clocks import StoppedClock


def app(lag: int | None, state: str = "running", wanted: str = "running") -> AppStatus:
    return AppStatus(
        name="a",
        engine="flink",
        target="local",
        wanted=wanted,
        state=state,
        healthy=True,
        version=1,
        previous=None,
        parallelism=1,
        since=0.0,
        lag=lag,
    )


def looks(*found: Sequence[AppStatus]) -> Iterator[Sequence[AppStatus]]:
    yield from found
    raise AssertionError("looked once more than needed")


def left(*found: Sequence[AppStatus], within_s: float = 60.0) -> list[int]:
    looking = looks(*found)
    return list(until_idle(lambda: next(looking), within_s, StoppedClock().clock))


def test_one_quiet_look_is_not_enough() -> None:
    assert left([app(0)], [app(3)], [app(0)], [app(0)]) == [0, 3, 0, 0]


def test_a_lag_that_is_unknown_is_not_nothing() -> None:
    assert left([app(None)], [app(0)], [app(0)]) == [1, 0, 0]


def test_stopped_apps_are_not_waited_for() -> None:
    stopped = app(7, "stopped", wanted="stopped")
    assert left([stopped], [stopped]) == [0, 0]


def test_an_app_that_was_given_up_ends_the_wait() -> None:
    with pytest.raises(StackError, match="a does not run"):
        left([app(1, "given up")])


def test_what_is_left_when_the_time_is_up_is_named() -> None:
    with pytest.raises(StackError, match=r"still to read after 0 s: a: 5"):
        left([app(5)], [app(5)], within_s=0)
