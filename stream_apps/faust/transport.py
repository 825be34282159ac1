"""Faust's consumer as we need it.

Four things differ from Faust's own. It reads ``read_committed``. Its assignor is Kafka's ``range``, which gives the
same partition of every topic to one worker; without tables Faust takes ``roundrobin``, which with three workers does
not. And it commits what the worker says it has worked on: Faust acknowledges the records that it skips in a rebalance,
so its own count can pass records that nobody has seen. Last, it hands a record over without a task of its own: Faust
makes four for each, in order to stop waiting for room, which a record that finds room need not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import ConsumerT, ProducerT
from mode.services import WaitResults
from yarl import URL

from olist.settings import Settings
from stream_apps.faust.credentials import aiokafka_options, aiokafka_security

BeforeCommit = Callable[[Mapping[TP, int]], Awaitable[Mapping[TP, int]]]
"""Given the offsets to commit, write what must be written before; return those that may be committed."""

Room = Callable[[], bool]
"""Whether a record can be handed over without waiting."""

HEARTBEAT_MS = 2_000


class Consumer(driver.Consumer):
    """Asks the worker before each commit, and hands records over quickly."""

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:
        """What Faust hands each record over with: the handing over, and a wait for being told to stop it."""
        transport: Any = self.transport
        if len(coros) == 2 and self.flow_active and self.app.flow_control.is_active() and transport.has_room():
            handing_over, stopping = coros
            stopping.close()
            return WaitResults([handing_over], [await handing_over], False)
        return await super().wait_first(*coros, timeout=timeout)

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        transport: Any = self.transport
        allowed = await transport.before_commit(offsets)
        return await super()._commit(allowed) if allowed else False


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
    """Hands the worker's settings and its say in commits to the consumer."""

    Consumer: ClassVar[type[ConsumerT]] = Consumer
    Producer: ClassVar[type[ProducerT]] = Producer

    def __init__(
        self, app: Any, settings: Settings, instance: str | None, before_commit: BeforeCommit, has_room: Room
    ) -> None:
        super().__init__([URL(f"kafka://{settings.kafka_bootstrap}")], app)
        self.settings, self.instance, self.before_commit, self.has_room = settings, instance, before_commit, has_room
