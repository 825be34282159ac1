"""Records to Kafka: idempotent, in order within each partition, bounded in memory.

No record ever times out on its own: one that did while its successors arrived would leave a hole that nobody could
see. Instead the whole replay gives up when Kafka has acknowledged nothing for `STALL_S`, and the topics then hold a
prefix of every partition, as they do after kill -9.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from olist.clients.kafka import client_options, weakly, words_of
from olist.errors import BadInput, ServerTrouble, Stopped
from olist.settings import Settings

STALL_S = 120.0
LARGEST_RECORD_BYTES = 8 * 1024 * 1024  # before compression; the broker's own limit is for what is left after it
FULL_QUEUE_POLL_S = 0.1

Record = tuple[str, bytes, bytes, int]  # topic, value, key, partition: the order of Producer.produce's arguments


def producer_config(settings: Settings, linger_ms: int) -> dict[str, object]:
    """librdkafka's settings, each that differs from its default with a reason."""
    return {
        **client_options(settings),
        "enable.idempotence": True,
        "partitioner": "murmur2_random",  # as Java clients; each record names its partition all the same
        "compression.type": "lz4",
        "linger.ms": linger_ms,
        "batch.size": 512 * 1024,  # bytes; larger requests cost the broker less per record
        "message.max.bytes": LARGEST_RECORD_BYTES,
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 96 * 1024,  # the most memory that waits for the broker
        "message.timeout.ms": 0,  # never: see above
        "delivery.report.only.error": True,  # a callback per record would cost more than the record
        "log_level": 0,  # what goes wrong arrives at error_cb
    }


class Sender:
    """A producer whose errors stop the run. `acknowledged` is what Kafka has for sure."""

    def __init__(self, settings: Settings, *, linger_ms: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._clock = clock
        self._failure: ServerTrouble | Stopped | None = None
        self._sent = 0
        self._best, self._best_at = 0, clock()
        self.trouble = ""  # why nothing is acknowledged, in librdkafka's words; empty while all is well
        config = producer_config(settings, linger_ms)
        self._producer = Producer(
            {**config, "on_delivery": weakly(self._delivered), "error_cb": weakly(self._troubled)}
        )

    @property
    def acknowledged(self) -> int:
        """Records that Kafka has written."""
        return self._sent - self.unacknowledged

    @property
    def unacknowledged(self) -> int:
        """Records that were sent and may or may not be written yet."""
        return len(self._producer)

    def send(self, records: Iterable[Record]) -> None:
        """Queue records, waiting for room.

        Raises:
            ServerTrouble: nothing was acknowledged for `STALL_S`.
            Stopped: Kafka refused a record for good.
            BadInput: a record is larger than Kafka takes.
        """
        produce = self._producer.produce
        for record in records:
            try:
                produce(*record)
            except BufferError:
                self._produce_when_there_is_room(record)
            except KafkaException as error:
                raise _refused(record, error) from error
            self._sent += 1
        self.wait(0)

    def wait(self, seconds: float) -> None:
        """Let the producer work, and stop for what went wrong meanwhile."""
        self._producer.poll(seconds)
        if self._failure:
            raise self._failure
        self._check_stall()

    def abandon(self) -> None:
        """Drop what is not acknowledged; each partition keeps a prefix."""
        self._producer.purge()
        self._producer.poll(0)

    def _produce_when_there_is_room(self, record: Record) -> None:
        while True:
            self.wait(FULL_QUEUE_POLL_S)
            try:
                return self._producer.produce(*record)
            except BufferError:
                continue

    def _check_stall(self) -> None:
        now, acknowledged = self._clock(), self.acknowledged
        if acknowledged > self._best or acknowledged == self._sent:
            self._best, self._best_at, self.trouble = acknowledged, now, ""
        elif now - self._best_at > STALL_S:
            raise ServerTrouble(
                "kafka",
                f"{self._bootstrap} acknowledged nothing for {STALL_S:g} s ({self.trouble or 'no error was told'})",
                hint="`olist status` shows the servers; `olist replay` then goes on where it stopped",
            )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = Stopped(
                f"topic {message.topic()}, partition {message.partition()}: Kafka refused a record: {error.str()}",
                hint="mend the cause; `olist replay` then goes on after the last record that was written",
            )

    def _troubled(self, error: KafkaError) -> None:
        self.trouble = error.str()
        if error.fatal() and self._failure is None:
            self._failure = Stopped(
                f"the producer cannot go on: {error.str()}", hint="`olist replay` goes on where it stopped"
            )


def _refused(record: Record, error: KafkaException) -> BadInput | ServerTrouble:
    topic, value, key, partition = record
    if error.args and error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return BadInput(f"topic {topic}, key {key.decode()}: a change of {len(value)} bytes is more than Kafka takes")
    return ServerTrouble("kafka", f"topic {topic}, partition {partition}: {words_of(error)}")
