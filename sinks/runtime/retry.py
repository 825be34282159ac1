"""A server that is away when a process starts: how long, and how often, to try again."""

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
class Retry:
    """Calls again after growing pauses while a server is away, until a deadline."""

    limit_s: float
    stopping: Event
    clock: Callable[[], float]

    def call(self, what: str, attempt: Callable[[], T]) -> T:
        """The result of `attempt()`; `what` names it in the log.

        Raises:
            ServerTrouble: the last one, when the time is up or the process is asked to stop.
        """
        deadline, pause_s = self.clock() + self.limit_s, FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except ServerTrouble as trouble:
                if self.clock() + pause_s > deadline:
                    raise
                log.warning("waiting", what=what, server=trouble.server, reason=trouble.reason, pause_s=pause_s)
                if self.stopping.wait(pause_s):
                    raise
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
