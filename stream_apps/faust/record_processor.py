"""What becomes of one record: its change is folded into its key's state, or it is forwarded to where its key is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from olist.batches import Rejected
from olist.changes import Change, Position, codec
from olist.errors import BadRecord
from olist.settings import Settings
from olist.topics.dead_letters import DeadLetters
from stream_apps.app import FaustApp
from stream_apps.faust.changelog import encode_key
from stream_apps.faust.owned_partition import OwnedPartition
from stream_apps.faust.partition_states import RowChange
from stream_apps.faust.producer import AppProducer
from stream_apps.faust.repartition import Message, Route, origin_of, routes
from stream_apps.faust.watermark import WATERMARKS, Watermarks, decode_watermarks, source_name
from stream_apps.faust.worker_status import StatusFile

_WATERMARKS_KEY = encode_key(WATERMARKS)


@dataclass(frozen=True)
class RejectedRecord:
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
class RecordProcessor:
    """Processes records of one app.

    `forwarded_topic` is the app's own topic of records on their way to their keys; `reached` is how far the source
    partitions of this worker have come in event time.
    """

    app: FaustApp[Any]
    settings: Settings
    forwarded_topic: str
    producer: AppProducer
    dead_letters: DeadLetters
    status: StatusFile
    reached: Watermarks = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._timed = self.app.timed
        self._routes = {route.name: route for route in routes(self.app)}
        self._of_topic: dict[str, list[Route]] = {}
        for route in self._routes.values():
            self._of_topic.setdefault(route.input.contract.topic(self.settings.topic_prefix), []).append(route)

    @property
    def topics(self) -> list[str]:
        """The topics to read: the inputs', and the app's own if records or watermarks are forwarded."""
        forwards = self._timed or any(route.forwarded for route in self._routes.values())
        return [*self._of_topic, *([self.forwarded_topic] if forwards else [])]

    async def process(self, partition: OwnedPartition, message: Message) -> None:
        """Process one record: when this returns all that follows from it is queued.

        Raises:
            TooManyDeadLetters: more records are rejected than the settings allow.
            ServerTrouble: Kafka does not take what is written.
        """
        try:
            if message.topic == self.forwarded_topic:
                self._process_forwarded(partition, message)
            else:
                self._process_source(partition, message)
        except BadRecord as error:
            await self._reject(message, error)

    def _process_source(self, partition: OwnedPartition, message: Message) -> None:
        ways = self._of_topic[message.topic]
        contract = ways[0].input.contract
        position = Position(message.topic, message.partition, message.offset)
        change = codec(contract).decode(message.key, message.value, position, self.settings.partitions)
        for route in ways:
            if route.forwarded:
                self._forward(partition, route, change, message)
            else:
                self._fold(partition, route, route.key(change.key), change)
        if self._timed:
            source = source_name(contract.table, message.partition)
            self.reached[source] = max(self.reached.get(source, 0), change.committed_us)
        if not all(route.forwarded for route in ways):  # else it counts where it is folded
            self.status.count_change(change.committed_us)

    def _process_forwarded(self, partition: OwnedPartition, message: Message) -> None:
        if message.key == _WATERMARKS_KEY:
            partition.clock.observe(decode_watermarks(message.value), time.monotonic())
            return
        origin = origin_of(message)
        route = self._routes.get(origin.route)
        if route is None:
            return  # forwarded by another version of the app; this one does not read it
        key, change = route.decode_forwarded(origin, message)
        self._fold(partition, route, key, change)
        self.status.count_change(change.committed_us)

    def _fold(self, partition: OwnedPartition, route: Route, key: tuple[str, ...], change: Change) -> None:
        source = source_name(route.name, change.position.partition)
        update = partition.states.apply(key, source, route.input, change, time.time())
        self.producer.write(partition.number, update)

    def _forward(self, partition: OwnedPartition, route: Route, change: Change, message: Message) -> None:
        targets, moved = partition.moved_keys.targets(route, change, time.time())
        if moved is not None:
            self.producer.save(partition.number, moved, partition.moved_keys.known[moved])
        for values in targets:
            self.producer.forward(route, values, message)

    async def _reject(self, message: Message, error: BadRecord) -> None:
        """Dead letters first, acknowledged; then what the app says of it."""
        rejected = Rejected(RejectedRecord(message), error)
        await asyncio.to_thread(self.dead_letters.write, [rejected], time.monotonic())
        self.status.count_dead_letter(error)
        rows = [RowChange(contract, codec(contract).key_of(row), row) for contract, row in self.app.of_refused(error)]
        self.producer.write_rows(rows, 0)
