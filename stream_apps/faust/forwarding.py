"""A record on its way to its key, and back.

A forwarded record has the state's key as its key and the original value to the byte; one header says which input it is
of, where it stood, and what its own key was. A watermark record goes to every partition and says how far source
partitions have come.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from olist.changes import Change, Position, codec
from stream_apps.app import Key
from stream_apps.faust.routes import Route, key_from

HEADER = "olist.origin"
WATERMARKS: Key = ("@watermarks",)  # the key of watermark records; no space may begin like this

Watermarks = dict[str, int]
"""Source partition (`source_name`) -> the commit time that it has reached, microseconds since 1970."""


class Message(Protocol):
    """A consumed record, as Faust gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any


class Origin(msgspec.Struct, array_like=True, frozen=True):
    """Where a forwarded record stood."""

    route: str
    topic: str
    partition: int
    offset: int
    key: str

    def position(self) -> Position:
        """As a position of the source topic."""
        return Position(self.topic, self.partition, self.offset)


_ORIGINS = msgspec.json.Decoder(Origin)
_WATERMARKS = msgspec.json.Decoder(dict[str, int])


def source_name(table: str, partition: int) -> str:
    """What states and clocks call a source partition."""
    return f"{table}/{partition}"


def origin_header(route: Route, message: Message) -> list[tuple[str, str | bytes | None]]:
    """The header of a forwarded record."""
    origin = Origin(route.name, message.topic, message.partition, message.offset, (message.key or b"").decode())
    return [(HEADER, msgspec.json.encode(origin))]


def origin_of(message: Message) -> Origin:
    """Where a forwarded record stood, from its header."""
    for name, value in message.headers or ():
        if name == HEADER:
            return _ORIGINS.decode(value)
    raise ValueError(f"{message.topic}[{message.partition}]@{message.offset} has no header {HEADER}")


def arrived(route: Route, origin: Origin, message: Message) -> tuple[Key, Change]:
    """The key and the change of a forwarded record.

    A row that has moved to another key since is a delete for this one.

    Raises:
        BadRecord: not a change of the input's contract; it names the record's place on its own topic.
    """
    key = key_from(message.key or b"")
    change = codec(route.input.contract).decode(origin.key.encode(), message.value, origin.position())
    if change.row is not None and route.in_key is None:
        values = route.values_of_row(change.row)
        if values is None or route.key(values) != key:
            return key, Change("d", change.key, None, change.position, change.committed_us)
    return key, change


def watermarks_from(value: bytes | None) -> Watermarks:
    """What a watermark record says."""
    return _WATERMARKS.decode(value or b"{}")
