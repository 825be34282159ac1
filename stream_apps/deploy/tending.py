"""Bring one deployment to what is wanted of it: what the keeper does each second, and what others may do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from msgspec.structs import replace

from olist.errors import OlistError, ServerTrouble
from olist.settings import Settings
from stream_apps.deploy.engine import Engine, Place, Sight
from stream_apps.deploy.exchange import kept_rows, put_back
from stream_apps.deploy.folder import Deployment
from stream_apps.deploy.reconcile import Action, after_settling, after_start, decide
from stream_apps.deploy.record import Record
from stream_apps.deploy.versions import place

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
    sight = engine.look(where, deployment.standing(record.current))
    action = decide(replace(record, trying=None) if trying else record, sight, clock())
    if action != "leave":
        if action == "undo":
            undo(settings, deployment, engine, record)
        else:
            _take(action, deployment, engine, record, where, sight, clock())
    return action


def _take(
    action: Action, deployment: Deployment, engine: Engine, record: Record, where: Place, sight: Sight, now: float
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


def start_again(deployment: Deployment, engine: Engine, record: Record, where: Place, sight: Sight, now: float) -> None:
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
