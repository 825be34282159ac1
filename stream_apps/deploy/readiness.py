"""Wait until a version is healthy, until it has caught up, until nothing is left to read.

`judge` decides from what is observed and for how long one has waited; the rest observes until it is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from olist.errors import ServerTrouble, StackError
from stream_apps.deploy.deployed_app import REAL_CLOCK, Clock, DeployedApp
from stream_apps.deploy.status import AppStatus
from stream_apps.engine import Observation, Version

HOPELESS_AFTER = 3
"""Restarts by the engine itself, each with an exception, after which a version that never settled is given up."""
OBSERVE_EVERY_S = 0.5

CLOSE_S = 10.0
"""Caught up means that nothing waits for longer than this: an engine commits its offsets every few seconds only."""
CATCHING_UP_EVERY_S = 1.0

SHORTEST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0  # a round that took long on a busy machine must not be followed by minutes of nothing
QUIET_ROUNDS = 2
"""What an app forwards to itself may arrive between one topic's turn and the next's, so one quiet round is none."""

Health = Literal["healthy", "unhealthy", "undecided"]


class Unhealthy(StackError):
    """A version did not become healthy; the message ends with its exception, or its log's last lines."""


def judge(observed: Observation, waited_s: float, within_s: float) -> Health:
    """Healthy once settled; unhealthy when it ended, keeps failing, or takes too long."""
    if observed.settled:
        return "healthy"
    if observed.phase == "failed":
        return "unhealthy"
    if observed.phase == "failing" and observed.restarts >= HOPELESS_AFTER:
        return "unhealthy"
    return "unhealthy" if waited_s >= within_s else "undecided"


def reason(observed: Observation, waited_s: float) -> str:
    """Why a version was not found healthy."""
    text = f"{observed.phase} after {waited_s:.0f} s"
    if observed.restarts:
        text += f", restarted {observed.restarts} times"
    return f"{text}: {observed.error}" if observed.error else f"{text}, without an exception"


def until_healthy(app: DeployedApp, version: Version, within_s: float) -> Observation:
    """Return when the version is healthy and has stayed so: one that falls over with its first record is until then.

    A server that does not answer is asked again until the deadline.

    Raises:
        Unhealthy: it ended, keeps failing, or took longer than `within_s`.
    """
    clock = app.clock
    began, healthy_since = clock.monotonic(), None
    while True:
        try:
            observed = app.engine.observe(version)
        except ServerTrouble as trouble:
            observed = Observation(phase="starting", error=str(trouble))
        waited_s = clock.monotonic() - began
        health = judge(observed, waited_s, within_s)
        if health == "unhealthy":
            raise Unhealthy(f"{version.name}, version {version.number}: {reason(observed, waited_s)}")
        if health == "undecided":
            healthy_since = None
        elif healthy_since is None:
            healthy_since = waited_s
        elif waited_s - healthy_since >= app.settings.app_steady_s:
            return observed
        clock.pause(OBSERVE_EVERY_S)


def until_caught_up(app: DeployedApp, old: Version, new: Version) -> Iterator[int]:
    """Gives how many records are left, again and again, until what waits is fresh, or it has read what the old has.

    The second is for an old version that is behind itself, or stopped: the new rows are then no older than its.
    There is no deadline: how long it takes depends on the topics, and one who watches can stop it.

    Raises:
        StackError: the version has ended, or keeps failing.
        ServerTrouble: Kafka or the engine is away.
    """
    while True:
        observed = app.engine.observe(new)
        if observed.phase in ("absent", "failed") or observed.restarts >= HOPELESS_AFTER:
            raise StackError(f"{new.name}, version {new.number}, {observed.phase} while it caught up: {observed.error}")
        left = app.kafka.lag(app.engine.group(new), app.engine.topics(new))
        yield left.records
        if left.oldest_s <= CLOSE_S or _has_passed(app, old, new):
            return
        app.clock.pause(CATCHING_UP_EVERY_S)


def _has_passed(app: DeployedApp, old: Version, new: Version) -> bool:
    """True if it has read all that the old one has, and nothing waits long on topics that are its alone.

    Those are inputs that the old one did not have, and what it forwarded to itself: read, and not yet in its rows.
    """
    engine = app.engine
    before, now = set(engine.topics(old)), set(engine.topics(new))
    return (
        app.kafka.is_as_far(engine.group(new), engine.group(old), sorted(before & now))
        and app.kafka.lag(engine.group(new), sorted(now - before)).oldest_s <= CLOSE_S
    )


def until_idle(observe: Callable[[], Sequence[AppStatus]], within_s: float, clock: Clock = REAL_CLOCK) -> Iterator[int]:
    """Gives how many records are left over all apps, again and again, until there are none.

    Raises:
        StackError: an app was given up, or records are left when the time is up; it names them.
    """
    deadline, quiet = clock.monotonic() + within_s, 0
    while True:
        began = clock.monotonic()
        found = [one for one in observe() if one.wanted == "running"]
        if lost := [one for one in found if one.state == "given up"]:
            raise StackError(
                "; ".join(f"{one.name} does not run: {one.error}" for one in lost), hint="olist apps status; logs"
            )
        left = {one.name: one.lag for one in found if one.lag != 0}
        quiet = 0 if left else quiet + 1
        yield sum(records or 1 for records in left.values())  # a lag that nobody can tell is not nothing
        if quiet == QUIET_ROUNDS:
            return
        if clock.monotonic() > deadline:
            listed = ", ".join(f"{name}: {'unknown' if n is None else f'{n:,}'}" for name, n in left.items())
            raise StackError(f"still to read after {within_s:g} s: {listed}", hint="olist apps status")
        # A round reads topics too, and must not slow down those who are waited for: a fifth of the time at most.
        clock.pause(min(max(SHORTEST_PAUSE_S, 4 * (clock.monotonic() - began)), LONGEST_PAUSE_S))
