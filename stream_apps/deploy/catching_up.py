"""When has a version that began at the beginning caught up with topics that go on growing?"""

from __future__ import annotations

import time
from collections.abc import Iterator

from olist.errors import StackError
from olist.settings import Settings
from stream_apps.deploy.engine import Engine, Place
from stream_apps.deploy.health import HOPELESS_AFTER
from stream_apps.deploy.lag import lag
from stream_apps.deploy.record import Standing

CLOSE_S = 10.0
"""Caught up means that nothing waits for longer than this: an engine commits its offsets every few seconds only."""
LOOK_EVERY_S = 1.0


def until_caught_up(settings: Settings, engine: Engine, old: Place, where: Place, standing: Standing) -> Iterator[int]:
    """Gives how many records are left, again and again, until what waits is fresh, or no more than waits for the old.

    There is no deadline: how long it takes depends on the topics, and one who watches can stop it.

    Raises:
        StackError: the version has ended, or keeps failing.
        ServerTrouble: Kafka or the engine is away.
    """
    while True:
        sight = engine.look(where, standing)
        if sight.phase in ("absent", "failed") or sight.restarts >= HOPELESS_AFTER:
            raise StackError(f"{where.name}, version {where.number}, {sight.phase} while it caught up: {sight.error}")
        left = lag(settings, engine.group(where), engine.topics(where))
        yield left.records
        if left.oldest_s <= CLOSE_S or left.records <= lag(settings, engine.group(old), engine.topics(old)).records:
            return
        time.sleep(LOOK_EVERY_S)
