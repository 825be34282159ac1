"""All that a worker writes: states, rows, forwarded records and watermarks, by one Kafka producer.

One producer, so that a flush puts all of them before the commit that follows it. A record that was not sent for most of
the session's timeout is not sent at all, and the worker ends: by then another worker may own the partition and have
written newer ones, which this one would cover.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Delivered

from olist.changes import Envelope, Source, codec
from olist.clients.kafka import client_options, weakly
from olist.contracts import Contract, Float, Integer, Row, Text, Timestamp
from olist.errors import ServerTrouble
from olist.settings import Settings
from stream_apps.app import FaustApp, Key
from stream_apps.faust.changelog import Changelog, Value, encode_key
from stream_apps.faust.partition_states import RowChange, StateUpdate
from stream_apps.faust.repartition import Message, Route
from stream_apps.faust.watermark import WATERMARKS, Watermarks, encode_watermarks
from stream_apps.faust.worker_status import StatusFile

SLICE_S = 0.25  # the event loop is held up for so long at a time while Kafka is slow
LEASE_SHARE = 0.8  # of the session timeout: a worker that was stopped for longer may have lost its partitions
BY_KEY = -1  # the partition that the key's murmur2 says
CONNECTOR, CONNECTOR_VERSION = "faust", "1"

Headers = list[tuple[str, str | bytes | None]]


class BufferedProducer:
    """Queues records; each partition gets them in the order of the calls, once, also across retries."""

    def __init__(self, settings: Settings) -> None:
        self._within_s = settings.session_timeout_ms * LEASE_SHARE / 1000
        self._failures: list[str] = []
        self._producer = Producer(
            {
                **client_options(settings),
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 8 << 20,
                "delivery.timeout.ms": int(self._within_s * 1000),
                "request.timeout.ms": int(self._within_s * 1000),
                "delivery.report.only.error": True,
                "on_delivery": weakly(self._delivered),
                "log_level": 0,
            }
        )

    def produce(
        self, topic: str, key: bytes, value: bytes | None, partition: int = BY_KEY, headers: Headers | None = None
    ) -> None:
        """Queue a record; waits while the queue is full.

        Raises:
            ServerTrouble: Kafka has taken nothing for most of the session's timeout.
        """
        deadline = None
        while True:
            try:
                self._producer.produce(topic, key=key, value=value, partition=partition, headers=headers)
                return
            except BufferError as error:
                deadline = deadline or time.monotonic() + self._within_s
                if time.monotonic() > deadline:
                    raise ServerTrouble("kafka", f"takes no records: {error}") from error
                self._producer.poll(SLICE_S)

    async def flush(self) -> None:
        """Return when Kafka has everything that was queued.

        Raises:
            ServerTrouble: it refused a record, or did not answer for most of the session's timeout.
        """
        deadline = time.monotonic() + self._within_s
        while self._producer.flush(SLICE_S) and not self._failures:
            if time.monotonic() > deadline:
                raise ServerTrouble("kafka", f"has not acknowledged records for {self._within_s:g} s")
            await asyncio.sleep(0)  # signals and heartbeats
        if self._failures:
            raise ServerTrouble("kafka", f"records were not written: {self._failures[0]}")

    def _delivered(self, error: KafkaError | None, message: Delivered) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}: {error.str()}")


@dataclass
class RowRecords:
    """One contract's rows as records: the envelopes that source topics hold too, so that sinks need nothing new."""

    contract: Contract
    prefix: str

    def __post_init__(self) -> None:
        *names, schema = self.prefix.split(".")
        name = ".".join(names) or schema
        self.topic = self.contract.topic(self.prefix)
        self._codec = codec(self.contract)
        self._exact = [c for c in self.contract.columns if not isinstance(c.type, Text | Integer | Float | Timestamp)]
        self._source = Source(
            version=CONNECTOR_VERSION,
            connector=CONNECTOR,
            name=name,
            ts_ms=0,
            snapshot="false",
            db=name,
            sequence=None,
            ts_us=0,
            ts_ns=0,
            schema=schema,
            table=self.contract.table,
            txId=None,
            lsn=None,
        )
        self._envelope: Envelope[Row] = Envelope(before=None, after=None, source=self._source, op="u", ts_ms=0)

    def key(self, values: tuple[Any, ...]) -> bytes:
        """A record's key."""
        return self._codec.encode_key(values)

    def value(self, row: Row, at_us: int, now_ms: int) -> bytes:
        """A record's value: the row as of an event time, written at a wall time.

        Raises:
            ValueError: a value that its column cannot hold.
        """
        for column in self._exact:
            if problem := column.problem(getattr(row, column.name)):
                raise ValueError(f"{self.contract.table}: {problem}")
        source, envelope = self._source, self._envelope  # one of each is enough: they are encoded at once
        source.ts_us, source.ts_ms, source.ts_ns = at_us, at_us // 1000, at_us * 1000
        envelope.after, envelope.ts_ms = row, now_ms
        return self._codec.encode(envelope)


class AppProducer:
    """Writes what one app's partitions give rise to. Calls queue; `flush` makes them last."""

    def __init__(
        self,
        app: FaustApp[Any],
        settings: Settings,
        forwarded_topic: str,
        changelog: Changelog,
        records: BufferedProducer,
        status: StatusFile,
    ) -> None:
        self.flush = records.flush
        self._partitions = settings.partitions
        self._forwarded_topic, self._state_topic = forwarded_topic, changelog.topic
        self._encode, self._produce = changelog.encode, records.produce
        self._outputs = {c.table: RowRecords(c, settings.topic_prefix) for c in app.writes}
        self._status = status

    def write(self, partition: int, update: StateUpdate) -> None:
        """The state, then the rows that follow from it."""
        if update.save:
            self.save(partition, update.key, update.entry)
        if update.rows:
            self.write_rows(update.rows, update.at_us)

    def save(self, partition: int, key: Key, value: Value | None) -> None:
        """A record of the changelog; None forgets the key."""
        self._produce(self._state_topic, encode_key(key), None if value is None else self._encode(value), partition)

    def write_rows(self, rows: list[RowChange], at_us: int) -> None:
        """Rows as of an event time.

        Raises:
            ValueError: a value that its column cannot hold.
        """
        now_ms = int(time.time() * 1000)
        for contract, values, row in rows:
            output = self._outputs[contract.table]
            self._produce(output.topic, output.key(values), None if row is None else output.value(row, at_us, now_ms))
        self._status.count_rows(len(rows))

    def forward(self, route: Route, values: tuple[Any, ...], message: Message) -> None:
        """A record to the partition of its key."""
        self._produce(
            self._forwarded_topic,
            encode_key(route.key(values)),
            message.value,
            route.partition(values, self._partitions),
            route.origin_header(message),
        )

    def broadcast(self, watermarks: Watermarks) -> None:
        """How far source partitions have come, to every partition."""
        key, value = encode_key(WATERMARKS), encode_watermarks(watermarks)
        for number in range(self._partitions):
            self._produce(self._forwarded_topic, key, value, number)
