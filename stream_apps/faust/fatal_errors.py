"""How a worker ends on an error: at once, like a kill.

Nothing is committed after it. Whoever keeps the process (the supervisor, or Kubernetes) starts the next one, which goes
on from the last commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import structlog

from olist.errors import OlistError
from stream_apps.app import Key
from stream_apps.faust.worker_status import StatusFile

log = structlog.get_logger()


@dataclass(frozen=True)
class ExitOnError:
    """A block in which any exception ends the process. `where` names the current record and the current key."""

    status: StatusFile
    where: Callable[[], tuple[str, Key | None]]

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process on an error; a cancelled task is none."""
        if isinstance(error, Exception):
            self.exit(error)

    def exit(self, error: Exception) -> None:
        """Say what went wrong and where, in the log and in the status file, and end with exit code 1."""
        (at, key), what = self.where(), f"{type(error).__name__}: {error}"
        status = self.status.status
        ours = isinstance(error, OlistError)
        hint = getattr(error, "hint", "")
        log.error("stopped", app=status.app, error=what, at=at, key=key, hint=hint, exc_info=None if ours else error)
        status.phase, status.error = "failed", f"{what} (at {at}, key {key})"
        self.status.publish()
        os._exit(1)
