"""A deployment on disk: ``<home>/apps/NAME`` with its record, its lock, and one folder per version.

A version is its own copy of the app's file, and what its engine is given, rendered from that copy.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import IO

from olist.errors import BadInput
from olist.settings import Settings
from stream_apps.engine import Engine, Version
from stream_apps.loader import load_app
from stream_apps.records import Record, VersionRecord, VersionState, read, write

RECORD, LOCK, STATE = "record.json", "lock", "standing.json"
RETRY_EVERY_S = 0.05


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
    def states(self) -> Path:
        """Where the engine keeps checkpoints and savepoints."""
        return self.path / "state"

    def folder(self, number: int) -> Path:
        """The folder of a version: the app's file as it was, and what was rendered from it."""
        return self.path / str(number)

    def version(self, record: Record, number: int) -> Version:
        """A version of the record, with the state that it has now."""
        return self.new_version(number, record.versions[number].generation, record.parallelism)

    def new_version(self, number: int, generation: int, parallelism: int) -> Version:
        """As `version`, for one that no record has."""
        state = self.state_of(number)
        return Version(self.name, self.folder(number), self.states, number, generation, parallelism, state)

    def code(self, number: int) -> Path:
        """A version's own copy of the app's file."""
        return self.folder(number) / f"{self.name}.py"

    def record(self) -> Record | None:
        """What is wanted, or None when the app was never deployed."""
        return read(self.path / RECORD, Record)

    def deployed_record(self) -> Record:
        """As `record`, of an app that must be deployed.

        Raises:
            BadInput: it is not.
        """
        record = self.record()
        if record is None:
            raise BadInput(f"{self.name} is not deployed", hint=f"olist apps deploy {self.name}")
        return record

    def write(self, record: Record) -> None:
        """Replace the record."""
        write(self.path / RECORD, record)

    def state_of(self, number: int) -> VersionState:
        """The state of a version."""
        return read(self.folder(number) / STATE, VersionState) or VersionState()

    def save_state(self, number: int, state: VersionState) -> None:
        """Replace a version's state."""
        write(self.folder(number) / STATE, state)

    def make(self) -> None:
        """Create the folder, so that one can be alone with it."""
        from olist.stack.home import Home  # requests comes with it

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
                time.sleep(RETRY_EVERY_S)
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


SHOWN = ("*.py", "*.sql", "app.json")
"""Files of a version whose difference is for people."""
DRAFT = 0
"""The number of the folder of a version that is only looked at: `--plan` and the question whether anything differs."""


def make(engine: Engine, version: Version, code: Path, now: float, *, after: Version | None = None) -> VersionRecord:
    """Copy the file, render it, and say what was made; a folder left by one that was never begun is replaced.

    `after` is the version whose state it is to take over.

    Raises:
        BadInput: the file is no app.
    """
    shutil.rmtree(version.folder, ignore_errors=True)
    version.folder.mkdir(parents=True)
    shutil.copyfile(code, version.code)
    engine.render(load_app(version.code), version)
    if after is not None:
        engine.link(after, version)
    return VersionRecord(number=version.number, generation=version.generation, digest=digest(code), made=now)


def digest(code: Path) -> str:
    """Two files of the same digest are the same version."""
    return hashlib.sha256(code.read_bytes()).hexdigest()


def difference(old: Version, new: Version) -> str:
    """A unified diff of every file of two versions; empty when they are equal."""
    names = sorted({path.name for version in (old, new) for shown in SHOWN for path in version.folder.glob(shown)})
    return "".join(_diff(old.folder / name, new.folder / name, old, new) for name in names)


def _diff(before: Path, after: Path, old: Version, new: Version) -> str:
    newer = f"version {new.number}" if new.number != DRAFT else "working tree"
    return "".join(
        unified_diff(_lines(before), _lines(after), f"{before.name} (version {old.number})", f"{after.name} ({newer})")
    )


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
