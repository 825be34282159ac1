"""Bring one deployment to what is wanted of it: what the supervisor does each second, and others may meanwhile.

`decide` and what the record becomes are pure: the time is an argument. `reconcile` acts on it.
"""

from __future__ import annotations

from typing import Literal

import structlog
from msgspec.structs import replace

from olist.errors import OlistError, ServerTrouble
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.topic_swap import kept_rows
from stream_apps.engine import Observation, Version
from stream_apps.records import Record

log = structlog.get_logger()

MOST_ATTEMPTS = 8
"""Starts in a row without the app becoming healthy, after which it is left alone until someone asks for it."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 30.0
"""For so long an app must run before its attempts are forgotten: one that keeps falling over is healthy in between."""

Action = Literal["leave", "undo", "start", "stop", "settle"]
"""`undo`: take an upgrade's half-begun version down. `settle`: forget the attempts, the app is healthy."""


def decide(record: Record, observed: Observation, now: float) -> Action:
    """The one thing to do now."""
    if record.target != "local":
        return "leave"
    if record.trying is not None:
        return "undo"
    if record.wanted == "stopped":
        return "leave" if rests(record, observed) else "stop"
    if observed.phase in ("absent", "failed"):
        return "start" if record.attempts < MOST_ATTEMPTS and now >= record.not_before else "leave"
    return "settle" if observed.settled and _is_news(record, now - observed.since) else "leave"


def rests(record: Record, observed: Observation) -> bool:
    """True if nothing runs. A Flink job that failed is over; of Faust workers, others may live when one has failed."""
    return observed.phase == "absent" or (record.engine == "flink" and observed.phase == "failed")


def _is_news(record: Record, age_s: float) -> bool:
    """True if there is something to forget of an app that has been healthy for so long."""
    return not record.proven or (age_s >= STEADY_S and bool(record.attempts or record.error))


def after_start(record: Record, now: float, error: str) -> Record:
    """The record once a start was tried: counted, and the next one not before a pause that doubles."""
    pause = min(FIRST_PAUSE_S * 2**record.attempts, LONGEST_PAUSE_S)
    return replace(
        record, attempts=record.attempts + 1, restarts=record.restarts + 1, not_before=now + pause, error=error
    )


def after_settling(record: Record) -> Record:
    """The record of an app that is healthy. The reason of its last start is kept by the logs."""
    return replace(record, attempts=0, not_before=0.0, error="", proven=True)


def given_up(record: Record) -> bool:
    """True if it was started so often in vain that it is left alone."""
    return record.wanted == "running" and record.attempts >= MOST_ATTEMPTS


def reconcile(app: DeployedApp, *, trying: bool = False) -> Action:
    """Observe an app and take the one step that is due. Call it alone with the deployment.

    `trying` says that the caller itself tries another version now, beside this one: that is not to be undone.

    Raises:
        ServerTrouble: the engine's server is away; nothing was decided.
    """
    record = app.deployment.record()
    if record is None:
        return "leave"
    version = app.current(record)
    observed = app.engine.observe(version)
    action = decide(replace(record, trying=None) if trying else record, observed, app.clock.now())
    if action == "undo":
        undo(app, record)
    elif action == "stop":
        log.warning("runs, and is not wanted", app=record.name)
        app.save(version, app.engine.cancel(version))
    elif action == "start":
        start_again(app, record, version, observed)
    elif action == "settle":
        log.info("healthy again", app=record.name, version=record.current)
        app.deployment.write(after_settling(record))
    return action


def undo(app: DeployedApp, record: Record) -> Record:
    """Take down what an upgrade began and nobody finished; the current version goes on from where it stands."""
    assert record.trying is not None
    log.warning("an upgrade was left unfinished; undone", app=record.name, version=record.trying)
    begun = app.deployment.version(record, record.trying)
    app.save(begun, app.engine.cancel(begun))
    kept = kept_rows(app.current(record))
    app.kafka.put_back(kept)
    kept.unlink(missing_ok=True)
    undone = replace(record, trying=None, error=f"the upgrade to {record.trying} was left unfinished")
    app.deployment.write(undone)
    return undone


def start_again(app: DeployedApp, record: Record, version: Version, observed: Observation) -> None:
    """Start what has ended, from its newest whole state."""
    why = observed.error or "it was gone"
    log.warning("starting again", app=record.name, version=version.number, reason=why)
    counted = after_start(record, app.clock.now(), why)
    app.deployment.write(counted)
    try:
        state = app.engine.start(version)
    except ServerTrouble:
        app.deployment.write(replace(record, error=why))  # not the app's fault: not an attempt
        raise
    except OlistError as error:
        log.error("was not started", app=record.name, reason=str(error))
        app.deployment.write(replace(counted, error=str(error)))
        return
    app.save(version, state)
    log.info("started again", app=record.name, version=version.number, resume=state.restored or "as it stands")
