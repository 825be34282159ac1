"""When has a version that began at the beginning caught up with topics that go on growing?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from olist.errors import StackError
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_states
from olist.topics.reading import Offsets
from stream_apps.deploy.engine import Engine, Place
from stream_apps.deploy.health import HOPELESS_AFTER
from stream_apps.deploy.lag import committed, lag
from stream_apps.deploy.record import Standing

CLOSE_S = 10.0
"""Caught up means that nothing waits for longer than this: an engine commits its offsets every few seconds only."""
LOOK_EVERY_S = 1.0


def until_caught_up(settings: Settings, engine: Engine, old: Place, where: Place, standing: Standing) -> Iterator[int]:
    """Gives how many records are left, again and again, until what waits is fresh, or it has read what the old has.

    The second is for an old version that is behind itself, or stopped: the new rows are then no older than its.
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
        if left.oldest_s <= CLOSE_S or _passed(settings, engine, old, where):
            return
        time.sleep(LOOK_EVERY_S)


def _passed(settings: Settings, engine: Engine, old: Place, new: Place) -> bool:
    """Has it read all that the old one has, and does nothing wait long on topics that are its alone?

    Those are inputs that the old one did not have, and what it forwarded to itself: read, and not yet in its rows.
    """
    before, now = set(engine.topics(old)), set(engine.topics(new))
    states = topic_states(admin_client(settings), sorted(before & now)).values()
    of_old, of_new = (committed(settings, engine.group(place), states) for place in (old, new))
    return as_far(of_old, of_new, states) and lag(settings, engine.group(new), sorted(now - before)).oldest_s <= CLOSE_S


def as_far(old: Offsets, new: Offsets, states: Iterable[TopicState]) -> bool:
    """Is `new` nowhere behind `old`? What is no longer on a topic need not be read.

    Where Kafka does not know how far the old one was (it forgets a group that rests), nobody can tell: no.
    """
    return all(
        end == state.first[p] or max(new.get((state.topic, p), 0), state.first[p]) >= old.get((state.topic, p), end)
        for state in states
        for p, end in state.end.items()
    )
