"""When a version that was started is called healthy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from olist.errors import ServerTrouble
from stream_apps.deploy import readiness
from stream_apps.deploy.readiness import Unhealthy, until_healthy
from stream_apps.engine import Observation
from stream_apps.records import Standing

WELL, FALLEN = Observation(phase="running", settled=True), Observation(phase="failed", error="ZeroDivisionError")
WHERE: Any = SimpleNamespace(name="a", number=2)


def engine(*sights: Observation | ServerTrouble, last: Observation) -> Any:
    """Seen so, one after the other, and so from then on."""
    coming = iter(sights)

    def observe(*_: object) -> Observation:
        seen = next(coming, last)
        if isinstance(seen, ServerTrouble):
            raise seen
        return seen

    return SimpleNamespace(observe=observe)


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "OBSERVE_EVERY_S", 0.0)


def test_a_version_that_falls_over_right_after_it_was_well_is_unhealthy() -> None:
    with pytest.raises(Unhealthy, match="version 2: failed after 0 s: ZeroDivisionError"):
        until_healthy(engine(WELL, WELL, last=FALLEN), WHERE, Standing(), within_s=60, steady_s=60)


def test_a_version_is_healthy_once_it_has_been_well_for_as_long_as_the_settings_say() -> None:
    assert until_healthy(engine(last=WELL), WHERE, Standing(), within_s=60, steady_s=0.01) == WELL
    assert until_healthy(engine(WELL, WELL, last=FALLEN), WHERE, Standing(), within_s=60, steady_s=0.0) == WELL


def test_a_server_that_is_away_for_a_moment_is_asked_again() -> None:
    away = ServerTrouble("flink", "away")
    assert until_healthy(engine(away, WELL, away, last=WELL), WHERE, Standing(), within_s=60, steady_s=0.0) == WELL
    with pytest.raises(Unhealthy, match="starting after 0 s: flink: away"):
        until_healthy(engine(away, last=WELL), WHERE, Standing(), within_s=0, steady_s=0.0)
