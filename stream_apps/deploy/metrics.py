"""The supervisor's /metrics of every app, those of Faust workers included: they have no port of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

from olist.errors import OlistError
from olist.settings import Settings
from olist.telemetry import DEPLOYED_HEALTHY, DEPLOYED_LAG, DEPLOYED_RESTARTS, DEPLOYED_WAITING
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.status import status_of
from stream_apps.deploy.store import Deployment, deployments
from stream_apps.faust.engine import FaustEngine
from stream_apps.faust.worker_status import WorkerMetrics
from stream_apps.records import Record

GAUGES = (DEPLOYED_HEALTHY, DEPLOYED_LAG, DEPLOYED_WAITING, DEPLOYED_RESTARTS)


@dataclass
class Observer:
    """Remembers what it has counted of each app."""

    settings: Settings
    _shown: dict[str, WorkerMetrics] = field(default_factory=dict)

    def observe(self) -> None:
        """Ask for every local app's status, and set its metrics; what could not be asked keeps its last value."""
        found = {name: (one, record) for name, one in deployments(self.settings).items() if (record := one.record())}
        for name in self._shown.keys() - found.keys():
            self._forget(name)
        for name, (deployment, record) in found.items():
            if record.target == "local":
                self._observe_unless_deleted(name, deployment, record)

    def _observe_unless_deleted(self, name: str, deployment: Deployment, record: Record) -> None:
        """To observe takes seconds and holds up nobody, a `delete` neither: its files may go while they are read."""
        try:
            self._observe(name, deployment, record)
        except (FileNotFoundError, OlistError):
            if deployment.record() is not None:
                raise

    def _observe(self, name: str, deployment: Deployment, record: Record) -> None:
        app = DeployedApp.of(self.settings, deployment, record.engine)
        shown = self._shown.setdefault(name, WorkerMetrics(name))
        if isinstance(app.engine, FaustEngine):
            shown.show(app.engine.statuses(app.current(record)))
        status = status_of(app, record)
        DEPLOYED_HEALTHY.labels(name).set(status.healthy)
        DEPLOYED_RESTARTS.labels(name).set(status.restarts)
        if status.lag is not None and status.freshness_s is not None:
            DEPLOYED_LAG.labels(name).set(status.lag)
            DEPLOYED_WAITING.labels(name).set(status.freshness_s)

    def _forget(self, name: str) -> None:
        """A deleted app is not an unhealthy one."""
        del self._shown[name]
        for gauge in GAUGES:
            gauge.remove(name)
