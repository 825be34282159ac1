"""One producer for states, rows and forwarded records: a flush puts all of them before the commit that follows it.

A record that was not sent for most of the session's timeout is not sent at all, and the worker ends: by then another
worker may have the partition and have written newer ones, which this one would cover.
"""

from __future__ import annotations

import asyncio
import time

from confluent_kafka import KafkaError, Message, Producer

from olist.errors import ServerTrouble
from olist.kafka_client import client_options, weakly
from olist.settings import Settings

SLICE_S = 0.25  # the event loop is held up for so long at a time while Kafka is slow
STILL_OURS = 0.8  # of the session timeout: a worker that was stopped for longer may have lost its partitions
ANY = -1  # the partition that the key's murmur2 says

Headers = list[tuple[str, str | bytes | None]]


class Writer:
    """Writes records; each partition gets them in the order of the calls, once, also across retries."""

    def __init__(self, settings: Settings) -> None:
        self._patience_s = settings.session_timeout_ms * STILL_OURS / 1000
        self._failures: list[str] = []
        self._producer = Producer(
            {
                **client_options(settings),
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "compression.type": "lz4",
                "message.max.bytes": 8 << 20,
                "delivery.timeout.ms": int(self._patience_s * 1000),
                "request.timeout.ms": int(self._patience_s * 1000),
                "delivery.report.only.error": True,
                "on_delivery": weakly(self._delivered),
                "log_level": 0,
            }
        )

    def write(
        self, topic: str, key: bytes, value: bytes | None, partition: int = ANY, headers: Headers | None = None
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
                deadline = deadline or time.monotonic() + self._patience_s
                if time.monotonic() > deadline:
                    raise ServerTrouble("kafka", f"takes no records: {error}") from error
                self._producer.poll(SLICE_S)

    async def flush(self) -> None:
        """Return when Kafka has everything that was queued.

        Raises:
            ServerTrouble: it refused a record, or did not answer for most of the session's timeout.
        """
        deadline = time.monotonic() + self._patience_s
        while self._producer.flush(SLICE_S) and not self._failures:
            if time.monotonic() > deadline:
                raise ServerTrouble("kafka", f"has not acknowledged records for {self._patience_s:g} s")
            await asyncio.sleep(0)  # signals and heartbeats
        if self._failures:
            raise ServerTrouble("kafka", f"records were not written: {self._failures[0]}")

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"{message.topic()}: {error.str()}")
