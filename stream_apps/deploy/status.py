"""How every deployed app is, asked of its engine and of Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from olist.errors import OlistError
from olist.settings import Settings
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.reconcile import given_up, rests
from stream_apps.deploy.store import Deployment
from stream_apps.engine import Observation, Version
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
    def is_as_wanted(self) -> bool:
        """True if it is healthy, or need not be."""
        return self.healthy if self.wanted == "running" and self.target == "local" else True


MOST_AT_ONCE = 8


def statuses(settings: Settings, asked: Iterable[Deployment]) -> list[AppStatus]:
    """The status of each that is deployed, in the given order; asked side by side, since all of it is waiting."""
    found = [(DeployedApp.of(settings, one, record.engine), record) for one in asked if (record := one.record())]
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        return list(pool.map(lambda pair: status_of(*pair), found))


def status_of(app: DeployedApp, record: Record) -> AppStatus:
    """One app's status; a server that is away makes parts of it unknown and is the error."""
    version = app.current(record)
    observed, trouble = _observe(app, version)
    behind = None
    try:
        behind = app.kafka.lag(app.engine.group(version), app.engine.topics(version))
    except OlistError as error:
        trouble = trouble or str(error)
    checkpoint = observed.checkpoint
    return AppStatus(
        name=record.name,
        engine=record.engine,
        target=record.target,
        wanted=record.wanted,
        state=state(record, observed, trouble),
        healthy=observed.settled,
        version=record.current,
        previous=record.previous,
        parallelism=record.parallelism,
        since=observed.since or record.since,
        lag=None if behind is None else behind.records,
        freshness_s=None if behind is None else behind.oldest_s,
        restarts=record.restarts + observed.restarts,
        error=trouble or record.error or observed.error,
        checkpoint_age_s=None if checkpoint is None else max(0.0, app.clock.now() - checkpoint.at),
        checkpoint_bytes=None if checkpoint is None else checkpoint.size,
    )


def state(record: Record, observed: Observation, trouble: str = "") -> str:
    """The one word that says how it is."""
    if record.trying is not None:
        return "changing"
    if record.wanted == "stopped" and rests(record, observed):
        return "stopped"
    if trouble:
        return "unknown"
    if given_up(record) and observed.phase in ("absent", "failed"):
        return "given up"
    return observed.phase


def _observe(app: DeployedApp, version: Version) -> tuple[Observation, str]:
    try:
        return app.engine.observe(version), ""
    except OlistError as error:
        return Observation(phase="absent"), str(error)
