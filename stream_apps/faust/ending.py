"""How a worker ends on an error: at once, like a kill.

Nothing is committed after it, and the next worker, which the keeper starts, goes on from the last commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import structlog

from olist.errors import OlistError
from stream_apps.app import Key
from stream_apps.faust.telling import Told

log = structlog.get_logger()


@dataclass(frozen=True)
class Deadly:
    """A part of the code in which no error is survived. `where` tells the record and the key in hand."""

    told: Told
    where: Callable[[], tuple[str, Key | None]]

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process on an error; a cancelled task is none."""
        if isinstance(error, Exception):
            self.die(error)

    def die(self, error: Exception) -> None:
        """Tell what went wrong and where, in the log and in the status file, and end with exit code 1."""
        (at, key), what = self.where(), f"{type(error).__name__}: {error}"
        ours = isinstance(error, OlistError)
        hint = getattr(error, "hint", "")
        log.error(
            "stopped", app=self.told.status.app, error=what, at=at, key=key, hint=hint, exc_info=None if ours else error
        )
        status = self.told.status
        status.phase, status.error = "failed", f"{what} (at {at}, key {key})"
        self.told.publish()
        os._exit(1)
