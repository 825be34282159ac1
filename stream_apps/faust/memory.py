"""The state topic: a record per key, written as states change, read back on recovery.

A worker that was stopped for a while (SIGSTOP, a suspended machine) may write a state of a partition that another one
has taken over, before it learns so. Its record then stands after a newer one. On recovery an entry that holds less than
an earlier one of its key does not count and is written over; compaction leaves records alone for an hour.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from olist.settings import Settings
from olist.topics.admin import admin_client, topic_state
from olist.topics.reading import read
from stream_apps.app import FaustApp, Key
from stream_apps.faust.routes import key_bytes, key_from
from stream_apps.faust.state import AT, WORKER, Entry, StateCodec, Whereabouts, Worker
from stream_apps.faust.writer import Writer


@dataclass
class Remembered:
    """What the state topic holds of one partition."""

    worker: Worker | None = None
    entries: dict[Key, Entry[Any]] = field(default_factory=dict)
    whereabouts: dict[Key, Whereabouts] = field(default_factory=dict)
    overtaken: set[Key] = field(default_factory=set)  # their newest record is not the one with the most changes


class Memory:
    """Writes and reads states of one app."""

    def __init__(self, settings: Settings, app: FaustApp[Any], topic: str, writer: Writer) -> None:
        self._settings = settings
        self._codec = StateCodec(app)
        self.encode = self._codec.encode
        self._topic = topic
        self._writer = writer

    def save(self, partition: int, key: Key, value: Entry[Any] | Whereabouts | Worker | None) -> None:
        """Write one record; None forgets the key."""
        encoded = None if value is None else self._codec.encode(value)
        self._writer.write(self._topic, key_bytes(key), encoded, partition)

    def recall(self, partition: int) -> Remembered:
        """Read a partition to its end.

        Raises:
            Stopped: this version of the app cannot read what is there.
            ServerTrouble: Kafka does not answer.
        """
        state = topic_state(admin_client(self._settings), self._topic)
        found = Remembered()
        first, end = ({partition: offsets[partition]} for offsets in (state.first, state.end))
        for records in read(self._settings, self._topic, first, end):
            for record in records:
                self._take(found, key_from(record.key() or b""), record.value())
        return found

    def _take(self, found: Remembered, key: Key, value: bytes | None) -> None:
        if key == WORKER:
            found.worker = msgspec.json.decode(value or b"{}", type=Worker)
        elif key[0] == AT:
            _put(found.whereabouts, key, None if value is None else msgspec.json.decode(value, type=Whereabouts))
        else:
            self._take_entry(found, key, value)

    def _take_entry(self, found: Remembered, key: Key, value: bytes | None) -> None:
        entry = None if value is None else self._codec.entry(key, value)
        known = found.entries.get(key)
        if entry is not None and known is not None and entry.is_behind(known):
            found.overtaken.add(key)
            return
        found.overtaken.discard(key)
        _put(found.entries, key, entry)


def _put(into: dict[Key, Any], key: Key, value: Any) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value
