"""What the keeper tells of every app on /metrics."""

from __future__ import annotations

from olist.settings import Settings
from olist.telemetry import DEPLOYED_HEALTHY, DEPLOYED_LAG, DEPLOYED_RESTARTS, DEPLOYED_WAITING
from stream_apps.deploy.folder import deployments
from stream_apps.deploy.status import status_of


def observe(settings: Settings) -> None:
    """Ask for every local app's status, and set its gauges; what could not be asked keeps its last value."""
    for name, deployment in deployments(settings).items():
        record = deployment.record()
        if record is None or record.target != "local":
            continue
        found = status_of(settings, deployment, record)
        DEPLOYED_HEALTHY.labels(name).set(found.healthy)
        DEPLOYED_RESTARTS.labels(name).set(found.restarts)
        if found.lag is not None and found.freshness_s is not None:
            DEPLOYED_LAG.labels(name).set(found.lag)
            DEPLOYED_WAITING.labels(name).set(found.freshness_s)
