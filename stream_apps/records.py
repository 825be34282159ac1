"""What is written down of a deployment. JSON files, replaced at once, so that a reader sees the old or the new.

`Record` says what is wanted of an app; there is one. `VersionState` says what state a version has; each version has
its own, in its own folder. Both are written only under the deployment's lock (`deploy.store.Deployment.alone`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from olist.atomic import write_atomically

EngineName = Literal["flink", "faust"]
Target = Literal["local", "k8s"]
Wanted = Literal["running", "stopped"]

S = TypeVar("S", bound=msgspec.Struct)


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an app's code, never changed once made. `made` is Unix seconds.

    A `generation` is a state built from the beginning of the topics, with a consumer group and topics of its own:
    versions of one generation take over each other's state.
    """

    number: int
    generation: int
    digest: str
    made: float


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of an app. VersionRecord numbers are those of `versions`."""

    name: str
    engine: EngineName
    wanted: Wanted
    current: int
    versions: dict[int, VersionRecord]
    target: Target = "local"
    parallelism: int = 1
    previous: int | None = None  # what `rollback` goes back to
    trying: int | None = None  # begun by an upgrade that has not ended; taken down by whoever finds it alone
    proven: bool = False  # the current version was healthy once
    since: float = 0.0  # when the current version began to be the current one
    attempts: int = 0  # starts by the supervisor since the app was last healthy
    not_before: float = 0.0  # the next of them
    restarts: int = 0  # starts by the supervisor over the life of the deployment
    error: str = ""  # why the last start was needed, or failed

    @property
    def version(self) -> VersionRecord:
        """The current one."""
        return self.versions[self.current]

    def next_number(self) -> int:
        """The number of a version that is to be made."""
        return max(self.versions) + 1

    def next_generation(self) -> int:
        """The number of a generation that is to be begun."""
        return max(version.generation for version in self.versions.values()) + 1


class Worker(msgspec.Struct, frozen=True):
    """A process of ours: a pid alone may be another's by now, so its start time (Unix seconds) goes with it."""

    pid: int
    created: float


class VersionState(msgspec.Struct, frozen=True, kw_only=True):
    """The state that a version has, and what runs in its name."""

    jobs: tuple[str, ...] = ()  # Flink's ids of its jobs, the newest last
    restored: str = ""  # the checkpoint or savepoint that job began from, or is to; empty: from the beginning
    savepoint: str = ""  # the newest savepoint that this version took
    workers: tuple[Worker, ...] = ()
    started: float = 0.0  # when what runs now was begun
    staged: bool = False  # writes to topics of its own, beside the version that it is to replace

    @property
    def job(self) -> str:
        """The newest job's id, or nothing."""
        return self.jobs[-1] if self.jobs else ""

    @property
    def states(self) -> tuple[str, ...]:
        """The checkpoints and savepoints that are named here."""
        return tuple(path for path in (self.savepoint, self.restored) if path)


def write(path: Path, value: msgspec.Struct) -> None:
    """Replace the file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n")


def read(path: Path, kind: type[S]) -> S | None:
    """What was written, or None when nothing was.

    Raises:
        msgspec.ValidationError: another release wrote it, in another shape.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
