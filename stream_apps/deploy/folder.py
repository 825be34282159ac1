"""Where a deployment lies: ``<home>/apps/NAME`` with its record, its lock, and one folder per version."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from olist.errors import BadInput
from olist.settings import Settings
from olist.stack.home import Home
from stream_apps.deploy.record import Record, Standing, read, write

RECORD, LOCK = "record.json", "lock"
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Deployment:
    """The files of one app's deployment. `path` is absolute."""

    path: Path

    @classmethod
    def of(cls, settings: Settings, name: str) -> Deployment:
        """The one of an app in a home; it need not be there yet."""
        return cls(apps_folder(settings) / name)

    @property
    def name(self) -> str:
        """The app's."""
        return self.path.name

    @property
    def state(self) -> Path:
        """Where the engine keeps checkpoints and savepoints."""
        return self.path / "state"

    def version(self, number: int) -> Path:
        """The folder of a version: the app's file as it was, and what was rendered from it."""
        return self.path / str(number)

    def code(self, number: int) -> Path:
        """A version's own copy of the app's file."""
        return self.version(number) / f"{self.name}.py"

    def record(self) -> Record | None:
        """What is wanted, or None when the app was never deployed."""
        return read(self.path / RECORD, Record)

    def write(self, record: Record) -> None:
        """Replace the record."""
        write(self.path / RECORD, record)

    def standing(self, number: int) -> Standing:
        """Where a version's state stands."""
        return read(self.version(number) / "standing.json", Standing) or Standing()

    def stand(self, number: int, standing: Standing) -> None:
        """Replace a version's standing."""
        write(self.version(number) / "standing.json", standing)

    def make(self) -> None:
        """Create the folder, so that one can be alone with it."""
        Home(self.path.parents[1]).claim_folder()
        self.path.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Remove what is here, the record first: without it, what a death in between leaves is nobody's. Only the lock
        stays, which its caller holds.
        """
        (self.path / RECORD).unlink(missing_ok=True)
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    def remove(self) -> None:
        """As `clear`, and the folder itself."""
        self.clear()
        shutil.rmtree(self.path)

    @contextmanager
    def alone(self, within_s: float = 0.0) -> Iterator[None]:
        """Be the only one that changes this deployment; the lock goes with the process that holds it, however it ends.

        Raises:
            Busy: another process is, for longer than `within_s`; or the folder is not there: see `make`.
        """
        deadline = time.monotonic() + within_s
        with self._lock_file() as file:
            while not _locked(file):
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise Busy(self.name, file.read().decode() or "another process")
                time.sleep(LOOK_EVERY_S)
            file.truncate(0)
            file.write(f"pid {os.getpid()}".encode())
            file.flush()
            yield

    def _lock_file(self) -> IO[bytes]:
        try:
            return (self.path / LOCK).open("a+b")
        except FileNotFoundError as error:
            raise Busy(self.name, "whoever deletes it") from error


class Busy(BadInput):
    """Another process changes this deployment now."""

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"{name} is being changed by {holder}", hint="wait for it, or end it: what it began is undone")


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def apps_folder(settings: Settings) -> Path:
    """Where every deployment of a home lies."""
    return settings.home.resolve() / "apps"


def deployments(settings: Settings) -> dict[str, Deployment]:
    """Every app that is deployed in this home, by name."""
    found = sorted(apps_folder(settings).glob(f"*/{RECORD}"))
    return {path.parent.name: Deployment(path.parent) for path in found}
