"""A key's state as it is kept, and as bytes on the state topic."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from olist.changes import MALFORMED
from olist.errors import Stopped
from stream_apps.app import FaustApp, Key
from stream_apps.faust.forwarding import Watermarks

S = TypeVar("S")

WORKER: Key = ("@worker",)  # the key of a partition's `Worker` record
AT = "@at"  # the space of `Whereabouts`


class Entry(msgspec.Struct, Generic[S], omit_defaults=True):
    """What is known of one key.

    `next` is, per source partition, the position after the last change that the state holds: a change below it is a
    repeat. `clock_us` is the clock that the rows were last derived with. `gone` holds rows that were deleted of late,
    with the wall time: a repeat deletes them again, since the deletion may have been lost with a killed worker.
    """

    state: S
    next: dict[str, int] = {}
    changed_us: int = 0
    clock_us: int = 0
    gone: dict[str, float] = {}

    def version(self) -> int:
        """Grows with every change."""
        return sum(self.next.values())

    def is_behind(self, other: Entry[Any]) -> bool:
        """Whether another entry of the same key holds a change that this one does not."""
        return any(other.next[source] > self.next.get(source, 0) for source in other.next)


class Whereabouts(msgspec.Struct, omit_defaults=True):
    """The keys (values of `by`) that a row's changes were forwarded to, the last one last: see `moves.py`."""

    keys: list[tuple[Any, ...]] = []
    deleted_s: float | None = None  # wall time


class Worker(msgspec.Struct):
    """What one partition's worker must know again after a kill.

    The clock is written down before the first row that depends on it. `code` tells which version's rows are on the
    topics, and is empty while they are written anew: if the worker dies then, the next one writes them all again.
    `topics` are the ids of the topics that positions are of.
    """

    code: str = ""
    topics: dict[str, str] = {}
    clock_us: int = 0
    reached: Watermarks = {}


class StateCodec:
    """Entries of one app as JSON, which `olist topics tail` shows."""

    def __init__(self, app: FaustApp[Any]) -> None:
        self._app = app
        entry_type: Any = Entry[app.state]  # type: ignore[name-defined]
        self._entries = msgspec.json.Decoder(entry_type)
        self._encoder = msgspec.json.Encoder()
        self.encode = self._encoder.encode

    def entry(self, key: Key, value: bytes) -> Entry[Any]:
        """From bytes.

        Raises:
            Stopped: this version of the app cannot read the state that another one wrote.
        """
        try:
            entry: Entry[Any] = self._entries.decode(value)
        except MALFORMED as error:
            raise Stopped(
                f"{self._app.name}: the state of {key} does not fit this version of the app: {error}",
                hint="give new fields a default, go back to the version that wrote it, or rebuild the app",
            ) from error
        return entry
