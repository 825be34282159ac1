"""Faust's consumer as we need it.

Four things differ from Faust's own. It reads ``read_committed``. Its assignor is Kafka's ``range``, which gives the
same partition of every topic to one worker; without tables Faust takes ``roundrobin``, which with three workers does
not. It commits what the worker says it has processed: Faust acknowledges the records that it skips in a rebalance, so
its own count can pass records that nobody has seen. Last, it hands each record to the worker itself: the way by an
agent's stream (four tasks, a queue, an event and an acknowledgement for each) costs more than all that the worker does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import ConsumerT, ProducerT
from yarl import URL

from olist.settings import Settings
from stream_apps.faust.credentials import aiokafka_options, aiokafka_security

HEARTBEAT_MS = 2_000
FETCH_S = 1.0  # a fetch without records ends, and whether to stop is asked
RECORDS_AT_ONCE = 100  # before the event loop has its turn


class Worker(Protocol):
    """Whose records these are."""

    @property
    def processed(self) -> Mapping[TP, int]:
        """The next offset of every partition of which a record was processed."""

    async def process(self, tp: TP, record: Any) -> None:
        """Process the next record of a partition."""

    async def before_commit(self, offsets: Mapping[TP, int]) -> None:
        """Write what must be written before these offsets are committed."""


class Consumer(driver.Consumer):
    """Hands records to the worker, and commits what it has processed. `in_hand` is set while fetched ones are left."""

    in_hand = False

    @property
    def worker(self) -> Worker:
        """The transport's."""
        transport: Any = self.transport
        worker: Worker = transport.worker
        return worker

    async def _drain_messages(self, fetcher: Any) -> None:
        """What Faust's fetcher runs: fetch records, and hand them over, until one of the two is to stop."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                records, active = await self._wait_next_records(FETCH_S)
                if records:
                    await self._hand_over(records, active)
                await asyncio.sleep(0)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _hand_over(self, records: Any, active: Any) -> None:
        """One record after the other, in turns between topics and between partitions.

        The rest is dropped when partitions are revoked: it is fetched again from what was committed. What came while
        they were, and belongs to the new assignment, waits for its beginning.
        """
        generation, process = self.app.consumer_generation_id, self.worker.process
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type] # as Faust itself does
        self.in_hand = True
        try:
            for number, (tp, record) in enumerate(self.scheduler.iterate(records), 1):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                if tp in active:
                    await process(tp, record)
                if number % RECORDS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        finally:
            self.in_hand = False

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self.worker.processed) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self.worker.processed.get(tp)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        await self.worker.before_commit(offsets)
        return await super()._commit(offsets)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Look whether aiokafka fetches; no stream of Faust's has anything to do."""
        self._thread._verify_aiokafka_event_path(now, tp)

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return Thread(self, loop=self.loop, beacon=self.beacon)


class Thread(driver.AIOKafkaConsumerThread):
    """Makes aiokafka's consumer."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        assert isinstance(transport, Transport)
        self._assignor = RangePartitionAssignor  # Faust's own code asks for it
        settings = transport.settings
        return aiokafka.AIOKafkaConsumer(
            **aiokafka_options(settings),
            group_id=self.app.conf.id,
            group_instance_id=transport.instance,
            client_id=self.app.conf.id,
            partition_assignment_strategy=[RangePartitionAssignor],
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=settings.session_timeout_ms,
            rebalance_timeout_ms=60_000,
            heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=300_000,
            max_partition_fetch_bytes=1 << 20,
            fetch_max_wait_ms=500,
            metadata_max_age_ms=30_000,
        )


class Producer(driver.Producer):
    """Faust starts one, whether or not anything is written by it."""

    def _settings_auth(self) -> Mapping[str, Any]:
        transport: Any = self.transport
        return aiokafka_security(transport.settings)


class Transport(driver.Transport):
    """Brings the worker and its consumer together."""

    Consumer: ClassVar[type[ConsumerT]] = Consumer
    Producer: ClassVar[type[ProducerT]] = Producer

    def __init__(self, app: Any, settings: Settings, instance: str | None, worker: Worker) -> None:
        super().__init__([URL(f"kafka://{settings.kafka_bootstrap}")], app)
        self.settings, self.instance, self.worker = settings, instance, worker
