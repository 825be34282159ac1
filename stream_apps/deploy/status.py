"""How every deployed app is, asked of its engine and of Kafka."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from olist.errors import OlistError
from olist.settings import Settings
from stream_apps.deploy.engines import engine_named
from stream_apps.deploy.lag import lag
from stream_apps.deploy.reconcile import given_up, rests
from stream_apps.deploy.store import Deployment, place
from stream_apps.engine import Engine, Observation, Place
from stream_apps.records import Record


class AppStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One app. Times are Unix seconds, ages are seconds; None is what could not be asked."""

    name: str
    engine: str
    target: str
    wanted: str
    state: str
    healthy: bool
    version: int
    previous: int | None
    parallelism: int
    since: float
    lag: int | None = None
    freshness_s: float | None = None
    restarts: int = 0
    error: str = ""
    checkpoint_age_s: float | None = None
    checkpoint_bytes: int | None = None

    @property
    def well(self) -> bool:
        """Is it as it is wanted?"""
        return self.healthy if self.wanted == "running" and self.target == "local" else True


MOST_AT_ONCE = 8


def statuses(settings: Settings, asked: Iterable[Deployment]) -> list[AppStatus]:
    """The status of each that is deployed, in the given order; asked side by side, since all of it is waiting."""
    found = [(one, record) for one in asked if (record := one.record())]
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        return list(pool.map(lambda pair: status_of(settings, *pair), found))


def status_of(settings: Settings, deployment: Deployment, record: Record) -> AppStatus:
    """One app's status; a server that is away makes parts of it unknown and is the error."""
    engine = engine_named(record.engine, settings)
    where = place(deployment, record, record.current)
    sight, trouble = _look(engine, deployment, where)
    behind = None
    try:
        behind = lag(settings, engine.group(where), engine.topics(where))
    except OlistError as error:
        trouble = trouble or str(error)
    checkpoint = sight.checkpoint
    return AppStatus(
        name=record.name,
        engine=record.engine,
        target=record.target,
        wanted=record.wanted,
        state=state(record, sight, trouble),
        healthy=sight.settled,
        version=record.current,
        previous=record.previous,
        parallelism=record.parallelism,
        since=sight.since or record.since,
        lag=None if behind is None else behind.records,
        freshness_s=None if behind is None else behind.oldest_s,
        restarts=record.restarts + sight.restarts,
        error=trouble or record.error or sight.error,
        checkpoint_age_s=None if checkpoint is None else max(0.0, time.time() - checkpoint.at),
        checkpoint_bytes=None if checkpoint is None else checkpoint.size,
    )


def state(record: Record, sight: Observation, trouble: str = "") -> str:
    """The one word that says how it is."""
    if record.trying is not None:
        return "changing"
    if record.wanted == "stopped" and rests(record, sight):
        return "stopped"
    if trouble:
        return "unknown"
    if given_up(record) and sight.phase in ("absent", "failed"):
        return "given up"
    return sight.phase


def _look(engine: Engine, deployment: Deployment, where: Place) -> tuple[Observation, str]:
    try:
        return engine.observe(where, deployment.standing(where.number)), ""
    except OlistError as error:
        return Observation(phase="absent"), str(error)
