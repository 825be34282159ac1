"""What the deployer asks of an engine, and what an engine answers.

Flink runs a version as one job of a session cluster, Faust as worker processes of this machine. The calls below may be
repeated: to start what runs, or to end what has ended, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from stream_apps.app import App
from stream_apps.records import VersionState

Road = Literal["restored", "restored, old rows not rewritten", "state refused"]
"""What becomes of the state on the way to a new version."""

Phase = Literal["absent", "starting", "running", "failing", "failed"]
"""`failing` is what tries again by itself; `failed` and `absent` need to be started by someone."""


class Verdict(msgspec.Struct, frozen=True):
    """Which road an upgrade would take, and why."""

    road: Road
    why: str

    @property
    def carries(self) -> bool:
        """True if the new version takes the old one's state over."""
        return self.road != "state refused"


class Checkpoint(msgspec.Struct, frozen=True):
    """The newest complete one. `at` is Unix seconds, `size` bytes."""

    path: str
    at: float
    size: int


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A version as its engine sees it now.

    `settled` is what healthy means to the engine; `readiness.judge` waits for it. `error` is the newest exception's
    text, or the last lines of a log.
    """

    phase: Phase
    settled: bool = False
    error: str = ""
    since: float = 0.0
    restarts: int = 0
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class Version:
    """A version as an engine needs to know it; `state` is as it was when the version was read from disk."""

    name: str
    folder: Path  # the version's
    states: Path  # the deployment's folder of savepoints
    number: int
    generation: int
    parallelism: int
    state: VersionState = field(default_factory=VersionState)

    @property
    def code(self) -> Path:
        """The version's copy of the app's file."""
        return self.folder / f"{self.name}.py"

    def having(self, state: VersionState) -> Version:
        """The same version in another state."""
        return replace(self, state=state)


class Engine(Protocol):
    """Runs versions. Errors are `ServerTrouble` while a server is away, `StackError` when a start was refused.

    A call that changes what runs returns the version's new state, which the caller writes down.
    """

    def render(self, app: App, version: Version, /) -> None:
        """Write the files that describe the version to its engine into its folder.

        Raises:
            BadInput: the engine cannot run such an app.
        """

    def link(self, old: Version, new: Version, /) -> None:
        """Prepare the new version's files to take over the old one's state."""

    def start(self, version: Version, /) -> VersionState:
        """Begin to run it from the newest whole state that its `state` names, else from where its group stands.

        Returns at once, with what runs now; whether that is healthy is `observe`'s to say.
        """

    def observe(self, version: Version, /) -> Observation:
        """What runs in its name."""

    def savepoint(self, version: Version, /) -> VersionState:
        """Write its state down while it goes on."""

    def stop(self, version: Version, /) -> VersionState:
        """End it so that it can go on later from exactly there."""

    def drain(self, version: Version, /) -> VersionState:
        """As `stop`, once all its timers and windows have fired: for an app that will not go on."""

    def cancel(self, version: Version, /) -> VersionState:
        """End it as it is."""

    def check_restorable(self, version: Version, /) -> None:
        """Make sure that what `start` would begin from is there, as far as this machine can tell.

        Raises:
            Stopped: it is gone.
        """

    def carries(self, old: Version, new: Version, /) -> Verdict:
        """Decide whether the new version would take over the old one's state."""

    def group(self, version: Version, /) -> str:
        """The consumer group whose committed offsets say how far it has read."""

    def topics(self, version: Version, /) -> list[str]:
        """The topics that this group reads."""

    def owned(self, version: Version, /) -> list[str]:
        """What is its own in Kafka, in words."""

    def forget(self, version: Version, /) -> None:
        """Remove what a generation owns in Kafka: its group, its topics. It must not run."""

    def discard(self, version: Version, /) -> None:
        """Remove the checkpoints and savepoints of one version. It must not run."""

    def logs(self, version: Version, /) -> list[Path]:
        """Where it logs to."""
