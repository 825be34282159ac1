"""When a version that was started is called healthy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from olist.errors import ServerTrouble
from olist.settings import Settings
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.readiness import Unhealthy, until_healthy
from stream_apps.deploy.store import Deployment
from stream_apps.engine import Observation, Version
from tests.clocks import StoppedClock

HEALTHY, FALLEN = Observation(phase="running", settled=True), Observation(phase="failed", error="ZeroDivisionError")
VERSION = Version("a", Path("a/2"), Path("a/state"), 2, 1, 1)


def watch(*observed: Observation | ServerTrouble, last: Observation, within_s: float, steady_s: float) -> Observation:
    """Watch a version that is observed so, one after the other, and so from then on."""
    coming = iter(observed)

    def observe(_version: Version) -> Observation:
        found = next(coming, last)
        if isinstance(found, ServerTrouble):
            raise found
        return found

    engine: Any = SimpleNamespace(observe=observe)
    no_kafka: Any = None
    settings = Settings(app_steady_s=steady_s)
    clock = StoppedClock().clock
    app = DeployedApp(settings, Deployment(Path("a")), "flink", no_kafka, clock, lambda *_: engine)
    return until_healthy(app, VERSION, within_s)


def test_a_version_that_falls_over_right_after_it_was_healthy_is_unhealthy() -> None:
    with pytest.raises(Unhealthy, match="version 2: failed after 1 s: ZeroDivisionError"):
        watch(HEALTHY, HEALTHY, last=FALLEN, within_s=60, steady_s=60)


def test_a_version_is_healthy_once_it_has_been_so_for_as_long_as_the_settings_say() -> None:
    assert watch(last=HEALTHY, within_s=60, steady_s=30) == HEALTHY
    assert watch(HEALTHY, HEALTHY, last=FALLEN, within_s=60, steady_s=0.0) == HEALTHY


def test_a_server_that_is_away_for_a_moment_is_asked_again() -> None:
    away = ServerTrouble("flink", "away")
    assert watch(away, HEALTHY, away, last=HEALTHY, within_s=60, steady_s=0.0) == HEALTHY
    with pytest.raises(Unhealthy, match="starting after 0 s: flink: away"):
        watch(away, last=HEALTHY, within_s=0, steady_s=0.0)
