"""Where the stack of one home keeps its run state: lock, state, requests, logs."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from olist.errors import StackError

LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Home:
    """Paths below the stack's home folder, which is absolute."""

    path: Path

    @property
    def run(self) -> Path:
        """Lock, state and requests."""
        return self.path / "run"

    @property
    def state(self) -> Path:
        """`RunState` as JSON, written by the supervisor alone."""
        return self.run / "state.json"

    @property
    def requests(self) -> Path:
        """A file here, named like a server, asks the supervisor to start it; it removes the file when it has begun."""
        return self.run / "requests"

    def log(self, name: str) -> Path:
        """The output of a server, or of the supervisor."""
        return self.path / "logs" / f"{name}.log"

    def make(self) -> None:
        """Create the folders. The run folder is the owner's alone: who can write there can start servers."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.requests.mkdir(exist_ok=True)

    def supervisor(self) -> int | None:
        """Pid of the living supervisor, who holds the lock, or None."""
        try:
            with (self.run / "lock").open("rb") as file:
                if _try_lock(file, fcntl.LOCK_SH):
                    return None
                return int(file.read() or 0) or None
        except FileNotFoundError:
            return None

    def claim(self) -> IO[bytes]:
        """Become the supervisor: hold the lock until the file is closed, by the end of the process at the latest.

        Raises:
            StackError: another supervisor holds it.
        """
        file = (self.run / "lock").open("a+b")
        while not _try_lock(file, fcntl.LOCK_EX):
            if not _try_lock(file, fcntl.LOCK_SH):  # where this one can be had, it was only someone who looked
                raise StackError(f"another supervisor runs the stack in {self.path}", hint="olist status; olist down")
            fcntl.flock(file, fcntl.LOCK_UN)  # or two who claim would refuse each other
            time.sleep(LOOK_EVERY_S)
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        return file


def _try_lock(file: IO[bytes], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
