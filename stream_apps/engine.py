"""What the two engines have in common, as far as a deployment is concerned.

Flink runs a version as one job of a session cluster, Faust as worker processes of this machine. The calls below may be
repeated: to start what runs, or to end what has ended, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from stream_apps.app import App
from stream_apps.records import Standing

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
        """Does the new version take the old one's state over?"""
        return self.road != "state refused"


class Checkpoint(msgspec.Struct, frozen=True):
    """The newest complete one. `at` is Unix seconds, `size` bytes."""

    path: str
    at: float
    size: int


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A version as its engine sees it now.

    `settled` is what healthy means to the engine; `health.judge` waits for it. `error` is the newest exception's text,
    or the last lines of a log.
    """

    phase: Phase
    settled: bool = False
    error: str = ""
    since: float = 0.0
    restarts: int = 0
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True)
class Place:
    """A version as an engine needs to know it."""

    name: str
    folder: Path  # the version's
    state: Path  # the deployment's
    number: int
    generation: int
    parallelism: int

    @property
    def code(self) -> Path:
        """The version's copy of the app's file."""
        return self.folder / f"{self.name}.py"


class Engine(Protocol):
    """Runs versions. Errors are `ServerTrouble` while a server is away, `StackError` when a start was refused."""

    def render(self, app: App, place: Place, *, after: Place | None) -> None:
        """Write the files that describe the version to its engine into its folder.

        `after` is the version whose state it is to take over; None where it begins a generation.

        Raises:
            BadInput: the engine cannot run such an app.
        """

    def start(self, place: Place, standing: Standing, *, resume: str) -> Standing:
        """Begin to run it from a savepoint or checkpoint (empty: from where its group stands, else the beginning).

        Returns at once, with what runs now; whether that is healthy is `observe`'s to say.
        """

    def observe(self, place: Place, standing: Standing) -> Observation:
        """What runs in its name."""

    def savepoint(self, place: Place, standing: Standing) -> Standing:
        """Write its state down while it goes on."""

    def stop(self, place: Place, standing: Standing, *, drain: bool = False) -> Standing:
        """End it so that it can go on later from exactly there; with `drain`, let all its timers fire first."""

    def cancel(self, place: Place, standing: Standing) -> Standing:
        """End it as it is."""

    def resume_from(self, place: Place, standing: Standing) -> str:
        """The newest state that is whole: what to start from after a death."""

    def restorable(self, resume: str) -> bool:
        """Is what `resume_from` named there? True when this machine cannot tell."""

    def carries(self, old: Place, new: Place) -> Verdict:
        """Would the new version take over the old one's state?"""

    def group(self, place: Place) -> str:
        """The consumer group whose committed offsets say how far it has read."""

    def topics(self, place: Place) -> list[str]:
        """The topics that this group reads."""

    def owned(self, place: Place) -> list[str]:
        """What is its own in Kafka, in words."""

    def forget(self, place: Place) -> None:
        """Remove what a generation owns in Kafka: its group, its topics. It must not run."""

    def discard(self, place: Place, standing: Standing) -> None:
        """Remove the checkpoints and savepoints of one version. It must not run."""

    def logs(self, place: Place) -> list[Path]:
        """Where it logs to."""
