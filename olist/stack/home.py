"""Where the stack of one home keeps its run state: lock, state, requests, logs; and whether the folder is its own.

What runs is one JSON file, written by the supervisor alone and read by everyone.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from olist.atomic import write_atomically
from olist.errors import BadInput, StackError
from olist.stack.servers.server import ServerState, log_path

LOOK_EVERY_S = 0.02
MARK = ".olist-home"
MARK_TEXT = "This folder was made by `olist`. `olist down --delete` removes what its servers wrote here.\n"
MADE_HERE = {"kafka", "postgres", "s3", "opensearch", "connect", "flink", "apps", "faust", "generated", "logs", "run"}
"""All that a home of a version without `MARK` may hold."""


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

    @property
    def mark(self) -> Path:
        """The file that says that the stack made this folder."""
        return self.path / MARK

    def log(self, name: str) -> Path:
        """The output of a server, or of the supervisor."""
        return log_path(self.path, name)

    def make(self) -> None:
        """Create the folders. The run folder is the owner's alone: who can write there can start servers."""
        self.claim_folder()
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.requests.mkdir(exist_ok=True)

    def claim_folder(self) -> None:
        """Create the folder and mark it as the stack's own, unless it holds what may be somebody else's."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not any(self.path.iterdir()) or self._is_of_an_earlier_version():
            self.mark.write_text(MARK_TEXT, encoding="utf-8")

    def require_own(self) -> None:
        """Refuse to remove anything from a folder that the stack did not make, or that somebody lives in.

        Raises:
            BadInput: with the reason and the way out.
        """
        for lived_in, name in ((Path.cwd(), "the folder you are in"), (Path.home(), "your home folder")):
            if self.path in (lived_in, *lived_in.parents):
                raise BadInput(
                    f"nothing was removed: OLIST_HOME is {self.path}, and {name} is it or lies in it",
                    hint="set OLIST_HOME to a folder of its own, or say it again from a folder outside of it",
                )
        if not self.mark.is_file() and not self._is_of_an_earlier_version():
            raise BadInput(
                f"nothing was removed: {self.path} has no {MARK}, so what it holds may not be the stack's",
                hint=f"look into it; if all of it is the stack's: touch {shlex.quote(str(self.mark))}, then again",
            )

    def _is_of_an_earlier_version(self) -> bool:
        """It has a supervisor's lock and log, and nothing that no supervisor would have made."""
        try:
            held_by = (self.run / "lock").read_bytes()
            there = {entry.name for entry in self.path.iterdir()}
        except OSError:
            return False
        return held_by.isdigit() and self.log("supervisor").is_file() and there <= MADE_HERE

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


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor and its servers."""

    supervisor: int
    servers: dict[str, ServerState]


def write_state(path: Path, state: RunState) -> None:
    """Replace the file at once, so that a reader sees the old state or the new one."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(state)))


def read_state(path: Path) -> RunState | None:
    """The last written state, or None when there is none. Whether it is still true, `Home.supervisor` says."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunState)
    except FileNotFoundError:
        return None
