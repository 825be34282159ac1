"""Wait until a version is healthy, until it has caught up, until nothing is left to read.

`judge` decides from what is observed and for how long one has waited; the rest observes until it is decided.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

from olist.errors import ServerTrouble, StackError
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_states
from olist.topics.reader import Offsets
from stream_apps.consumer_groups import committed
from stream_apps.deploy.lag import lag
from stream_apps.deploy.status import AppStatus
from stream_apps.engine import Engine, Observation, Place
from stream_apps.records import Standing

HOPELESS_AFTER = 3
"""Restarts by the engine itself, each with an exception, after which a version that never settled is given up."""

Health = Literal["healthy", "unhealthy", "undecided"]


def judge(sight: Observation, waited_s: float, within_s: float) -> Health:
    """Healthy once settled; unhealthy when it ended, keeps failing, or takes too long."""
    if sight.settled:
        return "healthy"
    if sight.phase == "failed":
        return "unhealthy"
    if sight.phase == "failing" and sight.restarts >= HOPELESS_AFTER:
        return "unhealthy"
    return "unhealthy" if waited_s >= within_s else "undecided"


def reason(sight: Observation, waited_s: float) -> str:
    """Why a version was not found healthy."""
    told = f"{sight.phase} after {waited_s:.0f} s"
    if sight.restarts:
        told += f", restarted {sight.restarts} times"
    return f"{told}: {sight.error}" if sight.error else f"{told}, without an exception"


OBSERVE_EVERY_S = 0.5


class Unhealthy(StackError):
    """A version did not become healthy; the message ends with its exception, or its log's last lines."""


def until_healthy(engine: Engine, where: Place, standing: Standing, within_s: float, steady_s: float) -> Observation:
    """Return when the version is healthy and has stayed so: one that falls over with its first record is until then.

    A server that does not answer is asked again until the deadline.

    Raises:
        Unhealthy: it ended, keeps failing, or took longer than `within_s`.
    """
    began, well_since = time.monotonic(), None
    while True:
        try:
            sight = engine.observe(where, standing)
        except ServerTrouble as trouble:
            sight = Observation(phase="starting", error=str(trouble))
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
        time.sleep(OBSERVE_EVERY_S)


CLOSE_S = 10.0
"""Caught up means that nothing waits for longer than this: an engine commits its offsets every few seconds only."""
CATCHING_UP_EVERY_S = 1.0


def until_caught_up(settings: Settings, engine: Engine, old: Place, where: Place, standing: Standing) -> Iterator[int]:
    """Gives how many records are left, again and again, until what waits is fresh, or it has read what the old has.

    The second is for an old version that is behind itself, or stopped: the new rows are then no older than its.
    There is no deadline: how long it takes depends on the topics, and one who watches can stop it.

    Raises:
        StackError: the version has ended, or keeps failing.
        ServerTrouble: Kafka or the engine is away.
    """
    while True:
        sight = engine.observe(where, standing)
        if sight.phase in ("absent", "failed") or sight.restarts >= HOPELESS_AFTER:
            raise StackError(f"{where.name}, version {where.number}, {sight.phase} while it caught up: {sight.error}")
        left = lag(settings, engine.group(where), engine.topics(where))
        yield left.records
        if left.oldest_s <= CLOSE_S or _passed(settings, engine, old, where):
            return
        time.sleep(CATCHING_UP_EVERY_S)


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


SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0  # a look that took long on a busy machine must not be followed by minutes of nothing
QUIET_LOOKS = 2
"""What an app forwards to itself may arrive between a look at one topic and at the next, so one quiet look is none."""


def until_idle(
    look: Callable[[], Sequence[AppStatus]], within_s: float, pause: Callable[[float], None] = time.sleep
) -> Iterator[int]:
    """Gives how many records are left over all apps, again and again, until there are none.

    Raises:
        StackError: an app was given up, or records are left when the time is up; it names them.
    """
    deadline, quiet = time.monotonic() + within_s, 0
    while True:
        began = time.monotonic()
        found = [one for one in look() if one.wanted == "running"]
        if lost := [one for one in found if one.state == "given up"]:
            raise StackError(
                "; ".join(f"{one.name} does not run: {one.error}" for one in lost), hint="olist apps status; logs"
            )
        left = {one.name: one.lag for one in found if one.lag != 0}
        quiet = 0 if left else quiet + 1
        yield sum(records or 1 for records in left.values())  # a lag that nobody can tell is not nothing
        if quiet == QUIET_LOOKS:
            return
        if time.monotonic() > deadline:
            told = ", ".join(
                f"{name}: {'unknown' if records is None else f'{records:,}'}" for name, records in left.items()
            )
            raise StackError(f"still to read after {within_s:g} s: {told}", hint="olist apps status")
        # Looking reads topics too, and must not slow down those who are waited for: a fifth of the time at most.
        pause(min(max(SHORTEST_PAUSE_S, 4 * (time.monotonic() - began)), LONGEST_PAUSE_S))
