"""Bring one deployment to what is wanted of it: what the supervisor does each second, and others may meanwhile.

`decide` and what the record becomes are pure: the time is an argument. `tend` acts on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import structlog
from msgspec.structs import replace

from olist.errors import OlistError, ServerTrouble
from olist.settings import Settings
from stream_apps.deploy.store import Deployment, place
from stream_apps.deploy.topic_swap import kept_rows, put_back
from stream_apps.engine import Engine, Observation, Place
from stream_apps.records import Record

MOST_ATTEMPTS = 8
"""Starts in a row without the app becoming healthy, after which it is left alone until someone asks for it."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 30.0
"""For so long an app must run before its attempts are forgotten: one that keeps falling over is well in between."""

Action = Literal["leave", "undo", "start", "stop", "settle"]
"""`undo`: take an upgrade's half-begun version down. `settle`: forget the attempts, the app is well."""


def decide(record: Record, sight: Observation, now: float) -> Action:
    """The one thing to do now."""
    if record.target != "local":
        return "leave"
    if record.trying is not None:
        return "undo"
    if record.wanted == "stopped":
        return "leave" if rests(record, sight) else "stop"
    if sight.phase in ("absent", "failed"):
        return "start" if record.attempts < MOST_ATTEMPTS and now >= record.not_before else "leave"
    return "settle" if sight.settled and _is_news(record, now - sight.since) else "leave"


def rests(record: Record, sight: Observation) -> bool:
    """Does nothing run? A Flink job that failed is over; of Faust workers, others may live when one has failed."""
    return sight.phase == "absent" or (record.engine == "flink" and sight.phase == "failed")


def _is_news(record: Record, age_s: float) -> bool:
    """Is there something to forget of an app that is well now, for so long?"""
    return not record.proven or (age_s >= STEADY_S and bool(record.attempts or record.error))


def after_start(record: Record, now: float, error: str) -> Record:
    """The record once a start was tried: counted, and the next one not before a pause that doubles."""
    pause = min(FIRST_PAUSE_S * 2**record.attempts, LONGEST_PAUSE_S)
    return replace(
        record, attempts=record.attempts + 1, restarts=record.restarts + 1, not_before=now + pause, error=error
    )


def after_settling(record: Record) -> Record:
    """The record of an app that is well. The reason of its last start is kept by the logs."""
    return replace(record, attempts=0, not_before=0.0, error="", proven=True)


def given_up(record: Record) -> bool:
    """Was it started so often in vain that it is left alone?"""
    return record.wanted == "running" and record.attempts >= MOST_ATTEMPTS


log = structlog.get_logger()


def tend(
    settings: Settings,
    deployment: Deployment,
    engine: Engine,
    clock: Callable[[], float] = time.time,
    *,
    trying: bool = False,
) -> Action:
    """Look at a deployment and take the one step that is due. Call it alone with the deployment.

    `trying` says that the caller itself tries another version now, beside this one: that is not to be undone.

    Raises:
        ServerTrouble: the engine's server is away; nothing was decided.
    """
    record = deployment.record()
    if record is None:
        return "leave"
    where = place(deployment, record, record.current)
    sight = engine.observe(where, deployment.standing(record.current))
    action = decide(replace(record, trying=None) if trying else record, sight, clock())
    if action != "leave":
        if action == "undo":
            undo(settings, deployment, engine, record)
        else:
            _take(action, deployment, engine, record, where, sight, clock())
    return action


def _take(
    action: Action, deployment: Deployment, engine: Engine, record: Record, where: Place, sight: Observation, now: float
) -> None:
    if action == "stop":
        log.warning("runs, and is not wanted", app=record.name)
        deployment.stand(where.number, engine.cancel(where, deployment.standing(where.number)))
    elif action == "start":
        start_again(deployment, engine, record, where, sight, now)
    elif action == "settle":
        log.info("healthy again", app=record.name, version=record.current)
        deployment.write(after_settling(record))


def undo(settings: Settings, deployment: Deployment, engine: Engine, record: Record) -> Record:
    """Take down what an upgrade began and nobody finished; the current version goes on from where it stands."""
    assert record.trying is not None
    log.warning("an upgrade was left unfinished; undone", app=record.name, version=record.trying)
    where = place(deployment, record, record.trying)
    deployment.stand(where.number, engine.cancel(where, deployment.standing(where.number)))
    kept = kept_rows(place(deployment, record, record.current))
    put_back(settings, kept)
    kept.unlink(missing_ok=True)
    undone = replace(record, trying=None, error=f"the upgrade to {record.trying} was left unfinished")
    deployment.write(undone)
    return undone


def start_again(
    deployment: Deployment, engine: Engine, record: Record, where: Place, sight: Observation, now: float
) -> None:
    """Start what has ended, from its newest whole state."""
    standing = deployment.standing(where.number)
    resume = engine.resume_from(where, standing)
    why = sight.error or "it was gone"
    log.warning("starting again", app=record.name, version=where.number, resume=resume or "as it stands", reason=why)
    counted = after_start(record, now, why)
    deployment.write(counted)
    try:
        deployment.stand(where.number, engine.start(where, standing, resume=resume))
    except ServerTrouble:
        deployment.write(replace(record, error=why))  # not the app's fault: not an attempt
        raise
    except OlistError as error:
        log.error("was not started", app=record.name, reason=str(error))
        deployment.write(replace(counted, error=str(error)))
