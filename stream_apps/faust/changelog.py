"""The changelog: the state topic, a record per key, written as states change and restored from on assignment.

Values are JSON, which `olist topics tail` shows. Beside the states it holds, per partition, one `PartitionMetadata`,
and the `ForwardedKeys` of rows that may move from key to key.

A worker that was stopped for a while (SIGSTOP, a suspended machine) may write a state of a partition that another one
has been assigned, before it learns so. Its record then stands after a newer one. On restoring, an entry that holds less
than an earlier one of its key does not count and is written over; compaction leaves records alone for an hour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from olist.changes import MALFORMED
from olist.errors import Stopped
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_state
from olist.topics.reader import read
from stream_apps.app import FaustApp, Key
from stream_apps.faust.watermark import Watermarks

S = TypeVar("S")

METADATA: Key = ("@worker",)  # the key of a partition's `PartitionMetadata`
FORWARDED = "@at"  # the space of `ForwardedKeys`

_KEYS = msgspec.json.Decoder(tuple[str, ...])


def encode_key(key: Key) -> bytes:
    """A state's key on a topic: a JSON list, unlike any table's key."""
    return msgspec.json.encode(key)


def decode_key(encoded: bytes) -> Key:
    """The inverse of `encode_key`."""
    return _KEYS.decode(encoded)


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
        """True if another entry of the same key holds a change that this one does not."""
        return any(other.next[source] > self.next.get(source, 0) for source in other.next)


class ForwardedKeys(msgspec.Struct, omit_defaults=True):
    """The keys (values of `by`) that a row's changes were forwarded to, the last one last: see `moved_keys.py`."""

    keys: list[tuple[Any, ...]] = []
    deleted_s: float | None = None  # wall time


class PartitionMetadata(msgspec.Struct):
    """What the worker of a partition must know again after a kill.

    The clock is written down before the first row that depends on it. `code` tells which version's rows are on the
    topics, and is empty while they are written anew: if the worker dies then, the next one writes them all again.
    `topics` are the ids of the topics that positions are of.
    """

    code: str = ""
    topics: dict[str, str] = {}
    clock_us: int = 0
    reached: Watermarks = {}


Value = Entry[Any] | ForwardedKeys | PartitionMetadata


@dataclass
class RestoredPartition:
    """What the changelog holds of one partition."""

    metadata: PartitionMetadata | None = None
    entries: dict[Key, Entry[Any]] = field(default_factory=dict)
    forwarded: dict[Key, ForwardedKeys] = field(default_factory=dict)
    overtaken: set[Key] = field(default_factory=set)  # their newest record is not the one with the most changes


class Changelog:
    """Encodes and restores the states of one app."""

    def __init__(self, settings: Settings, app: FaustApp[Any], topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._app = app
        entry_type: Any = Entry[app.state]  # type: ignore[name-defined]
        self._entries = msgspec.json.Decoder(entry_type)
        self.encode = msgspec.json.Encoder().encode

    def restore(self, partition: int) -> RestoredPartition:
        """Read a partition to its end.

        Raises:
            Stopped: this version of the app cannot read what is there.
            ServerTrouble: Kafka does not answer.
        """
        state = topic_state(admin_client(self._settings), self.topic)
        restored = RestoredPartition()
        first, end = ({partition: offsets[partition]} for offsets in (state.first, state.end))
        for records in read(self._settings, self.topic, first, end):
            for record in records:
                self.apply(restored, decode_key(record.key() or b""), record.value())
        return restored

    def apply(self, restored: RestoredPartition, key: Key, value: bytes | None) -> None:
        """Bring what is restored up to the next record; None is a key that was forgotten.

        Raises:
            Stopped: this version of the app cannot read the state.
        """
        if key == METADATA:
            restored.metadata = msgspec.json.decode(value or b"{}", type=PartitionMetadata)
        elif key[0] == FORWARDED:
            _put(restored.forwarded, key, None if value is None else msgspec.json.decode(value, type=ForwardedKeys))
        else:
            self._apply_entry(restored, key, None if value is None else self.decode_entry(key, value))

    def _apply_entry(self, restored: RestoredPartition, key: Key, entry: Entry[Any] | None) -> None:
        known = restored.entries.get(key)
        if entry is not None and known is not None and entry.is_behind(known):
            restored.overtaken.add(key)
            return
        restored.overtaken.discard(key)
        _put(restored.entries, key, entry)

    def decode_entry(self, key: Key, value: bytes) -> Entry[Any]:
        """The inverse of `encode`, for a state.

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


def _put(into: dict[Key, Any], key: Key, value: Any) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value
