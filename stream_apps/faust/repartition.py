"""Which records reach their key where they are, which are forwarded to it, and how.

All that concerns one key must meet in one partition. An input whose `by` is its contract's own key is there already:
the source has put it where the key's JSON hashes to. Any other input is forwarded to the partition where the JSON of
its `by` values hashes to, so both meet, as long as the columns have the same names. Where inputs of one space name
their columns differently, the first one's names are everyone's, and the others are forwarded.

A forwarded record has the state's key as its key and the original value to the byte; one header says which input it is
of, where it stood, and what its own key was. Its topic keeps records for ever, until they were processed: then they are
deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import msgspec
import structlog
from confluent_kafka import KafkaException, TopicPartition

from olist.changes import Change, Position, codec, java_escapes
from olist.contracts import Contract, Row
from olist.errors import BadInput
from olist.partitioner import partition_of
from olist.settings import Settings
from olist.topics.admin import admin_client
from stream_apps.app import FaustApp, Input, Key
from stream_apps.faust.changelog import decode_key

log = structlog.get_logger()

ORIGIN = "olist.origin"  # the header
PURGE_WITHIN_S = 10.0


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


@dataclass(frozen=True)
class Route:
    """How one input's records come to their keys."""

    input: Input
    names: tuple[str, ...]  # what the space calls the columns of `by`
    forwarded: bool

    @cached_property
    def name(self) -> str:
        """Tells this input from an app's others, whatever their order is in the next version."""
        return "/".join((self.input.space, self.input.contract.table, *self.input.by))

    @cached_property
    def in_key(self) -> tuple[int, ...] | None:
        """Where the contract's key holds the columns of `by`; None when only the row does."""
        columns = self.input.contract.key
        return tuple(columns.index(name) for name in self.input.by) if set(self.input.by) <= set(columns) else None

    def values(self, change: Change) -> tuple[Any, ...] | None:
        """The values of `by`; None for a delete that does not tell them, or where one of them is null."""
        if self.in_key is not None:
            return tuple(change.key[at] for at in self.in_key)
        return None if change.row is None else self.values_of_row(change.row)

    def values_of_row(self, row: Row) -> tuple[Any, ...] | None:
        """The values of `by`, from a row; None where one of them is null: such a row belongs to no key."""
        values = tuple(getattr(row, name) for name in self.input.by)
        return None if None in values else values

    def key(self, values: tuple[Any, ...]) -> Key:
        """The state's key."""
        return (self.input.space, *map(str, values))

    def partition(self, values: tuple[Any, ...], partitions: int) -> int:
        """Where the key's state is."""
        named = dict(zip(self.names, values, strict=True))
        return partition_of(java_escapes(codec(self.input.contract).encoder.encode(named)), partitions)

    def origin_header(self, message: Message) -> list[tuple[str, str | bytes | None]]:
        """The header of the forwarded record."""
        origin = Origin(self.name, message.topic, message.partition, message.offset, (message.key or b"").decode())
        return [(ORIGIN, msgspec.json.encode(origin))]

    def decode_forwarded(self, origin: Origin, message: Message) -> tuple[Key, Change]:
        """The key and the change of a forwarded record.

        A row that has moved to another key since is a delete for this one.

        Raises:
            BadRecord: not a change of the input's contract; it names the record's position on its own topic.
        """
        key = decode_key(message.key or b"")
        change = codec(self.input.contract).decode(origin.key.encode(), message.value, origin.position())
        if change.row is not None and self.in_key is None:
            values = self.values_of_row(change.row)
            if values is None or self.key(values) != key:
                return key, Change("d", change.key, None, change.position, change.committed_us)
        return key, change


def origin_of(message: Message) -> Origin:
    """Where a forwarded record stood, from its header.

    Raises:
        ValueError: it has none.
    """
    for name, value in message.headers or ():
        if name == ORIGIN:
            return _ORIGINS.decode(value)
    raise ValueError(f"{message.topic}[{message.partition}]@{message.offset} has no header {ORIGIN}")


def routes(app: FaustApp[Any]) -> tuple[Route, ...]:
    """One route per input, in the app's order.

    Raises:
        BadInput: two inputs alike, a `by` that names no column, or a space that is the worker's own.
    """
    names: dict[str, tuple[str, ...]] = {}
    found: dict[str, Route] = {}
    for given in app.reads:
        _check(app, given)
        canonical = names.setdefault(given.space, given.by)
        if len(canonical) != len(given.by):
            raise BadInput(f"{app.name}: inputs of space {given.space!r} have keys of unlike length")
        route = Route(given, canonical, forwarded=given.by != given.contract.key or canonical != given.by)
        if route.name in found:
            raise BadInput(f"{app.name}: reads {given.contract.table} by {given.by} twice", hint="give it a space")
        found[route.name] = route
    return tuple(found.values())


def _check(app: FaustApp[Any], given: Input) -> None:
    unknown = set(given.by) - {column.name for column in given.contract.columns}
    if not given.by or unknown:
        raise BadInput(f"{app.name}: {given.contract.table} cannot be read by {sorted(unknown) or 'nothing'}")
    if given.space.startswith("@"):
        raise BadInput(f"{app.name}: space {given.space!r} is the worker's own", hint="begin it with a letter")


def tables_read(app: FaustApp[Any]) -> tuple[Contract, ...]:
    """The contracts an app reads, each once."""
    return tuple({given.contract.table: given.contract for given in app.reads}.values())


def purge(settings: Settings, topic: str, committed: Mapping[int, int]) -> None:
    """Delete a topic's records below committed offsets, by partition. A broker that does not answer is asked later."""
    if not committed:
        return
    deleted = [TopicPartition(topic, partition, offset) for partition, offset in committed.items()]
    admin = admin_client(settings)  # kept until the answers are there: they never come to a client that is gone
    for future in admin.delete_records(deleted, request_timeout=PURGE_WITHIN_S).values():
        try:
            future.result(PURGE_WITHIN_S)
        except (KafkaException, TimeoutError) as error:
            log.warning("not purged", topic=topic, reason=f"{type(error).__name__} {error}")
