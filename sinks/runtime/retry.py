"""How long, and how often, to try again when a server is away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

import structlog

from olist.errors import ServerTrouble

T = TypeVar("T")
log = structlog.get_logger()

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True)
class Patience:
    """Retries with growing pauses until a deadline.

    `limit_s` stays below Kafka's ``max.poll.interval.ms`` (300 s): a sink that outwaits it loses its partitions.
    """

    limit_s: float
    stopping: Event
    clock: Callable[[], float]

    def insist(self, what: str, attempt: Callable[[], T], mend: Callable[[], None] = lambda: None) -> T:
        """Return `attempt()`'s result; after trouble pause, `mend()`, try again.

        Raises:
            ServerTrouble: the last one, when the time is up or the process is asked to stop.
        """
        deadline, pause_s, broken = self.clock() + self.limit_s, FIRST_PAUSE_S, False
        while True:
            try:
                if broken:
                    mend()
                return attempt()
            except ServerTrouble as trouble:
                if self.clock() + pause_s > deadline:
                    raise
                log.warning("waiting", what=what, server=trouble.server, reason=trouble.reason, pause_s=pause_s)
                if self.stopping.wait(pause_s):
                    raise
                pause_s, broken = min(pause_s * 2, LONGEST_PAUSE_S), True
