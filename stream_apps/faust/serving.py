"""From workers' statuses to metrics: a worker serves its own, the keeper those of all its workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from olist.telemetry import APP_CPU, APP_DEAD_LETTERS, APP_EVENTS, APP_FRESHNESS, APP_LAG, APP_ROWS, APP_STANDING
from stream_apps.faust.telling import Status

Count = tuple[str, str]
"""A counter's name, and its second label or nothing."""


@dataclass
class Served:
    """One app's metrics. Counters go on when a worker is followed by another, whose own counts begin at nothing."""

    app: str
    _counted: dict[int, dict[Count, float]] = field(default_factory=dict)  # by pid
    _kinds: set[str] = field(default_factory=set)

    def show(self, workers: Sequence[Status]) -> None:
        """Bring the metrics up to what the app's workers tell now; none tell nothing new."""
        for status in workers:
            self._count(status)
        self._counted = {status.pid: self._counted[status.pid] for status in workers}
        self._stand(workers)
        if lags := [status.lag for status in workers if status.lag is not None]:
            APP_LAG.labels(self.app).set(sum(lags))
        if newest := [status.last_event_us for status in workers if status.last_event_us is not None]:
            APP_FRESHNESS.labels(self.app).set(time.time() - max(newest) / 1e6)

    def _count(self, status: Status) -> None:
        now = _counts(status)
        before = self._counted.get(status.pid, {})
        for (name, label), count in now.items():
            more = count - before.get((name, label), 0.0)
            COUNTERS[name].labels(self.app, *([label] if label else [])).inc(more)
        self._counted[status.pid] = now

    def _stand(self, workers: Sequence[Status]) -> None:
        kinds = {kind for status in workers for kind in status.standing}
        for kind in self._kinds | kinds:
            APP_STANDING.labels(self.app, kind).set(sum(status.standing.get(kind, 0) for status in workers))
        self._kinds |= kinds


COUNTERS = {"events": APP_EVENTS, "rows": APP_ROWS, "cpu": APP_CPU, "dead letters": APP_DEAD_LETTERS}


def _counts(status: Status) -> dict[Count, float]:
    letters = {("dead letters", stage): float(number) for stage, number in status.dead_letters.items()}
    return {("events", ""): status.events, ("rows", ""): status.rows, ("cpu", ""): status.cpu_s, **letters}
