"""What becomes of one record: its change is folded here, or it is forwarded to where its key is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from olist.batches import Rejected
from olist.changes import Change, Position, codec
from olist.dead_letters import DeadLetters
from olist.errors import BadRecord
from olist.settings import Settings
from stream_apps.app import FaustApp, Out
from stream_apps.faust.forwarding import (
    WATERMARKS,
    Message,
    Watermarks,
    arrived,
    origin_header,
    origin_of,
    source_name,
    watermarks_from,
)
from stream_apps.faust.held import Held
from stream_apps.faust.memory import Memory
from stream_apps.faust.names import Names
from stream_apps.faust.output import Output
from stream_apps.faust.part import Put, Step
from stream_apps.faust.routes import Route, key_bytes, routes
from stream_apps.faust.telling import Told
from stream_apps.faust.writer import Writer

_WATERMARKS_KEY = key_bytes(WATERMARKS)


@dataclass(frozen=True)
class Refused:
    """A record as the dead letters take it."""

    message: Message

    def key(self) -> bytes | None:  # noqa: D102 - `olist.batches.Record`
        return self.message.key

    def value(self) -> bytes | None:  # noqa: D102 - the same
        return self.message.value

    def partition(self) -> int:  # noqa: D102 - the same
        return self.message.partition

    def offset(self) -> int:  # noqa: D102 - the same
        return self.message.offset

    def headers(self) -> list[tuple[str, bytes]]:
        """As they came."""
        return list(self.message.headers or ())


@dataclass
class Taker:
    """Takes records of one app. `reached` is how far the source partitions of this worker have come in event time."""

    app: FaustApp[Any]
    settings: Settings
    names: Names
    memory: Memory
    writer: Writer
    letters: DeadLetters
    told: Told
    reached: Watermarks = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._timed = self.app.timed
        self._routes = {route.name: route for route in routes(self.app)}
        self._of_topic: dict[str, list[Route]] = {}
        for route in self._routes.values():
            self._of_topic.setdefault(route.input.contract.topic(self.settings.topic_prefix), []).append(route)
        self._outputs = {c.table: Output(c, self.settings.topic_prefix) for c in self.app.writes}

    @property
    def topics(self) -> list[str]:
        """The topics to read: the inputs', and the app's own if records or watermarks are forwarded."""
        forwards = self._timed or any(route.forwarded for route in self._routes.values())
        return [*self._of_topic, *([self.names.by_key] if forwards else [])]

    async def take(self, held: Held, message: Message) -> None:
        """Take one record: when this returns all that follows from it is queued.

        Raises:
            TooManyDeadLetters: more records are refused than the settings allow.
            ServerTrouble: Kafka does not take what is written.
        """
        try:
            if message.topic == self.names.by_key:
                self._take_forwarded(held, message)
            else:
                self._take_source(held, message)
        except BadRecord as error:
            await self._refuse(message, error)

    def _take_source(self, held: Held, message: Message) -> None:
        ways = self._of_topic[message.topic]
        contract = ways[0].input.contract
        position = Position(message.topic, message.partition, message.offset)
        change = codec(contract).decode(message.key, message.value, position, self.settings.partitions)
        for route in ways:
            if route.forwarded:
                self._forward(held, route, change, message)
            else:
                self._fold(held, route, change)
        if self._timed:
            source = source_name(contract.table, message.partition)
            self.reached[source] = max(self.reached.get(source, 0), change.committed_us)
        if not all(route.forwarded for route in ways):  # else it is taken where it is folded
            self.told.took(change.committed_us)

    def _take_forwarded(self, held: Held, message: Message) -> None:
        if message.key == _WATERMARKS_KEY:
            held.clock.hear(watermarks_from(message.value), time.monotonic())
            return
        origin = origin_of(message)
        route = self._routes.get(origin.route)
        if route is None:
            return  # forwarded by another version of the app; this one does not read it
        key, change = arrived(route, origin, message)
        source = source_name(route.name, origin.partition)
        self.write(held, held.part.take(key, source, route.input, change, time.time()))
        self.told.took(change.committed_us)

    def _fold(self, held: Held, route: Route, change: Change) -> None:
        key = route.key(change.key)
        source = source_name(route.name, change.position.partition)
        self.write(held, held.part.take(key, source, route.input, change, time.time()))

    def _forward(self, held: Held, route: Route, change: Change, message: Message) -> None:
        targets, moved = held.moves.targets(route, change, time.time())
        if moved is not None:
            self.memory.save(held.number, moved, held.moves.known[moved])
        for values in targets:
            self.writer.write(
                self.names.by_key,
                key_bytes(route.key(values)),
                message.value,
                route.partition(values, self.settings.partitions),
                origin_header(route, message),
            )

    async def _refuse(self, message: Message, error: BadRecord) -> None:
        """Dead letters first, acknowledged; then what the app says of it."""
        letter = Rejected(Refused(message), error)
        await asyncio.to_thread(self.letters.write, [letter], time.monotonic())
        self.told.refused(error)
        self._write_rows(self._puts(self.app.of_refused(error)), 0)

    def _puts(self, outs: Iterable[Out]) -> list[Put]:
        return [Put(contract, codec(contract).key_of(row), row) for contract, row in outs]

    def write(self, held: Held, step: Step) -> None:
        """Queue what a step says."""
        if step.save:
            self.memory.save(held.number, step.key, step.entry)
        if step.puts:
            self._write_rows(step.puts, step.at_us)

    def _write_rows(self, puts: list[Put], at_us: int) -> None:
        now_ms = int(time.time() * 1000)
        for contract, values, row in puts:
            output = self._outputs[contract.table]
            value = None if row is None else output.value(row, at_us, now_ms)
            self.writer.write(output.topic, output.key(values), value)
        self.told.wrote(len(puts))

    def broadcast(self, watermarks: Watermarks) -> None:
        """Tell every partition how far source partitions have come."""
        value = self.memory.encode(watermarks)
        for number in range(self.settings.partitions):
            self.writer.write(self.names.by_key, _WATERMARKS_KEY, value, number)
