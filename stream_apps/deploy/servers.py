"""The local Flink's two processes, started again when they have crashed: the stack's supervisor restarts nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass

import structlog

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.local import Stack

NAMES = ("jobmanager", "taskmanager")
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger()


@dataclass
class FlinkServers:
    """Those of one home; nothing to do where `OLIST_FLINK` names another cluster, or nobody started them here."""

    settings: Settings
    not_before: float = 0.0
    pause_s: float = FIRST_PAUSE_S

    def mend(self) -> None:
        """Start what has crashed. In vain, it waits before it tries again, longer each time."""
        if self.settings.flink is not None or time.monotonic() < self.not_before:
            return
        stack = Stack(self.settings, NAMES)
        crashed = [name for name, state in stack.states().items() if state.phase == "crashed"]
        for name in crashed:
            log.warning("starting again", server=name, reason=stack.states()[name].reason)
            try:
                stack.start(name)
            except StackError as error:
                self.not_before = time.monotonic() + self.pause_s
                self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)
                log.error("was not started", server=name, reason=str(error))
                return
        self.pause_s = FIRST_PAUSE_S
