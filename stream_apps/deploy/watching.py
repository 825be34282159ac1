"""Look at a version until it is well or not."""

from __future__ import annotations

import time

from olist.errors import ServerTrouble, StackError
from stream_apps.deploy.engine import Engine, Place, Sight
from stream_apps.deploy.health import judge, reason
from stream_apps.deploy.record import Standing

LOOK_EVERY_S = 0.5


class Unhealthy(StackError):
    """A version did not become healthy; the message ends with its exception, or its log's last lines."""


def until_healthy(engine: Engine, where: Place, standing: Standing, within_s: float, steady_s: float) -> Sight:
    """Return when the version is healthy and has stayed so: one that falls over with its first record is until then.

    A server that does not answer is asked again until the deadline.

    Raises:
        Unhealthy: it ended, keeps failing, or took longer than `within_s`.
    """
    began, well_since = time.monotonic(), None
    while True:
        try:
            sight = engine.look(where, standing)
        except ServerTrouble as trouble:
            sight = Sight(phase="starting", error=str(trouble))
        waited_s = time.monotonic() - began
        health = judge(sight, waited_s, within_s)
        if health == "unhealthy":
            raise Unhealthy(f"{where.name}, version {where.number}: {reason(sight, waited_s)}")
        if health == "undecided":
            well_since = None
        elif well_since is None:
            well_since = waited_s
        elif waited_s - well_since >= steady_s:
            return sight
        time.sleep(LOOK_EVERY_S)
