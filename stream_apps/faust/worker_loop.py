"""The Faust app around a `RecordProcessor`: assignment, restoring, the loop, the clock, commits, the status.

A record is never skipped: whatever goes wrong ends the process (`fatal_errors.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import faust
import structlog
from faust.types import TP

from olist.errors import Fenced, ServerTrouble
from olist.settings import Settings
from stream_apps.app import Key
from stream_apps.faust.changelog import Changelog
from stream_apps.faust.fatal_errors import ExitOnError
from stream_apps.faust.owned_partition import MIXED, OwnedPartition
from stream_apps.faust.producer import LEASE_SHARE
from stream_apps.faust.record_processor import RecordProcessor
from stream_apps.faust.repartition import Message, purge, tables_read
from stream_apps.faust.transport import Transport
from stream_apps.faust.watermark import Watermarks, source_name
from stream_apps.faust.worker_status import WorkerMetrics

log = structlog.get_logger()

COMMIT_S = 1.0
TICK_S = 0.5
STATUS_S = 1.0
PURGE_S = 60.0
UPDATES_AT_ONCE = 500  # of a partition that is restored, before the event loop has its turn


@dataclass
class WorkerLoop:
    """Runs one worker. `topic_ids` are those of the input topics by table, `code` tells the app's version."""

    settings: Settings
    group: str
    processor: RecordProcessor
    changelog: Changelog
    topic_ids: Mapping[str, str]
    code: str
    instance: str | None = None
    partitions: dict[int, OwnedPartition] = field(default_factory=dict)
    processed: dict[TP, int] = field(default_factory=dict)  # the next offset
    _restoring: dict[int, asyncio.Task[OwnedPartition]] = field(default_factory=dict)  # and those that were restored
    _purgeable: dict[int, int] = field(default_factory=dict)  # committed offsets of forwarded records
    _broadcast: Watermarks = field(default_factory=dict)
    _joined: bool = False
    _last_ran_s: float = 0.0
    _message: Message | None = None
    _events_at_lag: int = -1

    def __post_init__(self) -> None:
        self._app, self._producer = self.processor.app, self.processor.producer
        self._status = self.processor.status
        self._exit_on_error = ExitOnError(self._status, self._where)
        self._metrics = WorkerMetrics(self._app.name)

    def build(self) -> faust.App:
        """The Faust app, ready to run."""
        settings = self.settings
        app = faust.App(
            self.group,
            broker=f"kafka://{settings.kafka_bootstrap}",
            store="memory://",
            datadir=str(settings.home / "faust"),
            autodiscover=False,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            broker_commit_interval=COMMIT_S,
            broker_session_timeout=settings.session_timeout_ms / 1000,
            consumer_auto_offset_reset="earliest",
            stream_wait_empty=False,
        )
        app.transport = Transport(app, settings, self.instance, self)
        app.on_partitions_assigned.connect(self._assign)
        app.on_partitions_revoked.connect(self._revoke)
        topic = app.topic(*self.processor.topics, key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=self._app.name)(_nothing)  # Faust subscribes to the topics of agents
        app.task(self._tick_always)
        app.task(self._publish_always)
        app.task(self._purge_always)
        self._faust = app
        return app

    async def process(self, tp: TP, record: Message) -> None:
        """Process the next record of a partition; one that is revoked meanwhile has it processed by its next worker."""
        with self._exit_on_error:
            self._message = record
            partition = self.partitions.get(record.partition) or await self._restored(record.partition)
            if partition is None:
                return
            self._check_lease()
            await self.processor.process(partition, record)
            if self.partitions.get(record.partition) is partition:
                self.processed[tp] = record.offset + 1

    async def _restored(self, number: int) -> OwnedPartition | None:
        """The partition once it is restored; None if it was revoked before.

        Raises:
            Fenced: it was never assigned to this worker.
        """
        restoring = self._restoring.get(number)
        if restoring is None:
            raise Fenced(f"{self._app.name}: a record of partition {number}, which is not this worker's")
        await asyncio.wait([restoring])
        return self.partitions.get(number) if self._restoring.get(number) is restoring else None

    async def before_commit(self, offsets: Mapping[TP, int]) -> None:
        """Broadcast watermarks and flush, so that all lasts that follows from the records below these offsets."""
        with self._exit_on_error:
            self._check_lease()
            reached = dict(self.processor.reached)
            if news := {source: us for source, us in reached.items() if us > self._broadcast.get(source, 0)}:
                self._producer.broadcast(news)
                self._broadcast.update(news)
            for partition in self.partitions.values():
                if partition.clock.reached != partition.metadata.reached:
                    self._save_metadata(partition, partition.metadata.clock_us)
            await self._flush()
            forwarded = self.processor.forwarded_topic
            self._purgeable.update({tp.partition: at for tp, at in offsets.items() if tp.topic == forwarded})

    async def _assign(self, *given: Any, **_: Any) -> None:
        with self._exit_on_error:
            numbers = sorted({tp.partition for tp in given[1]})
            self._drop_partitions()
            self._last_ran_s, self._joined = time.monotonic(), True
            self._restoring = {number: asyncio.ensure_future(self._restore(number)) for number in numbers}
            log.info("assigned", app=self._app.name, partitions=numbers)

    async def _revoke(self, *_: Any, **__: Any) -> None:
        with self._exit_on_error:
            await self._flush()
            self._drop_partitions()

    def _drop_partitions(self) -> None:
        for restoring in self._restoring.values():
            restoring.cancel()
        self._restoring, self.partitions, self._joined = {}, {}, False
        self._purgeable.clear()
        self.processed.clear()
        self._broadcast.clear()
        self.processor.reached.clear()

    async def _restore(self, number: int) -> OwnedPartition:
        """Read the partition's states back and write what fell due meanwhile."""
        with self._exit_on_error:
            restored = await asyncio.to_thread(self.changelog.restore, number)
            partition = OwnedPartition.of(self._app, number, restored, self.code, self.topic_ids)
            for key in restored.overtaken:
                self._producer.save(number, key, restored.entries[key])
            partition.clock.expect(self._sources(), time.monotonic())  # the clock's times are not the wall's
            if partition.metadata.code != self.code:
                await self._write_code(partition, MIXED)
            for count, update in enumerate(partition.first_updates(self.code, time.time())):
                self._producer.write(number, update)
                if count % UPDATES_AT_ONCE == 0:
                    await asyncio.sleep(0)
            await self._write_code(partition, self.code)
            self.partitions[number] = partition
            log.info("restored", app=self._app.name, partition=number, states=len(partition.states.entries))
            return partition
        raise AssertionError("unreachable")

    async def _write_code(self, partition: OwnedPartition, code: str) -> None:
        """Say which version's rows are on the topics, after all that was queued and before all that follows."""
        await self._flush()
        partition.metadata.code = code
        self._save_metadata(partition, partition.metadata.clock_us)
        await self._flush()

    def _save_metadata(self, partition: OwnedPartition, clock_us: int) -> None:
        self._producer.save(partition.number, *partition.metadata_at(clock_us))

    def _sources(self) -> list[str]:
        tables = [contract.table for contract in tables_read(self._app)]
        return [source_name(table, p) for table in tables for p in range(self.settings.partitions)]

    async def _tick_always(self) -> None:
        self._last_ran_s = time.monotonic()
        while True:
            with self._exit_on_error:
                await asyncio.sleep(TICK_S)
                self._check_lease()
                self._last_ran_s = time.monotonic()
                await self._tick()

    async def _tick(self) -> None:
        """Let time pass in every partition. New times are written down before anything depends on them."""
        now, ticking = time.monotonic(), dict(self.partitions)
        clocks = {number: one.clock.next_us(now) for number, one in ticking.items()} if self._app.timed else {}
        if any(clocks[number] > one.clock.now_us for number, one in ticking.items() if clocks):
            for number, partition in ticking.items():
                self._save_metadata(partition, clocks[number])
            await self._flush()
        for number, partition in ticking.items():
            if self.partitions.get(number) is partition:  # else it was lost while the clock was written down
                self._advance(partition, clocks.get(number, 0))

    def _advance(self, partition: OwnedPartition, clock_us: int) -> None:
        for update in partition.advance(clock_us, time.time()):
            self._producer.write(partition.number, update)
        for key in partition.moved_keys.expire(time.time()):
            self._producer.save(partition.number, key, None)

    async def _publish_always(self) -> None:
        while True:
            with self._exit_on_error:
                await self.publish_status()
                await asyncio.sleep(STATUS_S)

    async def publish_status(self) -> None:
        """Bring the status, its file and the metrics up to date."""
        status, owned = self._status.status, self.partitions.values()
        status.partitions = sorted(self._restoring)
        status.states = sum(len(one.states.entries) for one in owned)
        status.phase = "running" if self._joined and self._restoring.keys() == self.partitions.keys() else "recovering"
        status.clock_us = min((one.clock.now_us for one in owned), default=None)
        status.lag = await self._lag()
        self._status.set_standing(sum((one.states.rows_by_kind for one in owned), Counter()))
        self._status.publish()
        self._metrics.show([status])

    async def _lag(self) -> int | None:
        """Records between what was processed and the ends, of the partitions owned; None while an end is not known."""
        consumer: Any = self._faust.consumer
        ends: dict[TP, tuple[int, int]] = {}
        for tp in consumer.assignment():
            try:
                end, position = consumer.highwater(tp), await consumer.position(tp)
            except (RuntimeError, AssertionError):  # its thread has stopped, or a rebalance is taking it away
                return None
            if end is None or position is None:
                return None
            ends[tp] = end, position
        events, self._events_at_lag = self._events_at_lag, self._status.status.events
        idle = events == self._events_at_lag and not consumer.in_hand  # the way to the end is markers, if anything
        return sum(
            max(0, end - (position if idle else self.processed.get(tp, position)))
            for tp, (end, position) in ends.items()
        )

    async def _purge_always(self) -> None:
        while True:
            with self._exit_on_error:
                await asyncio.sleep(PURGE_S)
                purgeable, self._purgeable = self._purgeable, {}
                await asyncio.to_thread(purge, self.settings, self.processor.forwarded_topic, purgeable)

    async def _flush(self) -> None:
        try:
            await self._producer.flush()
        except ServerTrouble:
            self._check_lease()  # where this process stood still, Kafka is not to blame
            raise

    def _check_lease(self) -> None:
        """Stop where another worker may own our partitions by now.

        Raises:
            Fenced: this process did not run for most of its session.
        """
        stopped_s = time.monotonic() - self._last_ran_s
        if stopped_s * 1000 > self.settings.session_timeout_ms * LEASE_SHARE:
            raise Fenced(f"{self._app.name}: this worker did not run for {stopped_s:.1f} s", hint="start it again")

    def _where(self) -> tuple[str, Key | None]:
        """The current record, and the current key of its partition."""
        message = self._message
        if message is None:
            return "", None
        partition = self.partitions.get(message.partition)
        key = partition.states.current_key if partition else None
        return f"{message.topic}[{message.partition}]@{message.offset}", key


async def _nothing(stream: faust.StreamT[Any]) -> None:
    """An agent without records: the consumer hands them over itself (`transport.py`)."""
    async for _ in stream:
        raise AssertionError("a record came by Faust's own way")
