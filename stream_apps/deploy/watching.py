"""Look at a version until it is well or not, telling what is seen."""

from __future__ import annotations

import time
from collections.abc import Callable

from olist.errors import ServerTrouble, StackError
from stream_apps.deploy.engine import Engine, Place, Sight
from stream_apps.deploy.health import judge, reason
from stream_apps.deploy.record import Standing

LOOK_EVERY_S = 0.5


class Unhealthy(StackError):
    """A version did not become healthy; the message ends with its exception, or its log's last lines."""


def until_healthy(
    engine: Engine, where: Place, standing: Standing, within_s: float, seen: Callable[[Sight], None] = lambda _: None
) -> Sight:
    """Return when the version is healthy. A server that does not answer is asked again until the deadline.

    Raises:
        Unhealthy: it ended, keeps failing, or took longer than `within_s`.
    """
    began = time.monotonic()
    while True:
        try:
            sight = engine.look(where, standing)
        except ServerTrouble as trouble:
            sight = Sight(phase="starting", error=str(trouble))
        seen(sight)
        waited_s = time.monotonic() - began
        health = judge(sight, waited_s, within_s)
        if health == "healthy":
            return sight
        if health == "unhealthy":
            raise Unhealthy(f"{where.name}, version {where.number}: {reason(sight, waited_s)}")
        time.sleep(LOOK_EVERY_S)
