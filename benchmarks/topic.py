"""Write a mix of changes onto its table's topic: all at once, or so many a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Message, Producer

from benchmarks.mix import Mix, Sent
from olist.clients.kafka import client_options
from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.topics.admin import ensure_topics

FLUSH_WITHIN_S = 60.0
STEP_S = 0.01  # a paced writer sends what is due every so often


@dataclass
class Written:
    """What a topic got. `stamps` has (partition, offset, milliseconds since 1970) of each record, where asked for."""

    changes: int = 0
    records: int = 0
    stamps: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def ends(self) -> dict[int, int]:
        """Partition -> the offset after the last stamped record."""
        ends: dict[int, int] = {}
        for partition, offset, _ in self.stamps:
            ends[partition] = max(offset + 1, ends.get(partition, 0))
        return ends


class TopicWriter:
    """Writes one mix, and knows how many records the topic has of it."""

    def __init__(self, settings: Settings, mix: Mix) -> None:
        ensure_topics(settings, [mix.contract])
        self.mix = mix
        self.topic = mix.contract.topic(settings.topic_prefix)
        self.total = Written()
        self._producer = Producer(
            {
                **client_options(settings),
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
            }
        )

    def write(self, changes: int) -> Written:
        """So many changes, as fast as it goes."""
        written = Written()
        for sent in self.mix.changes(changes):
            self._send(sent, written, stamped=False)
        return self._done(written)

    def pace(self, changes_per_s: int, seconds: float) -> Written:
        """So many changes a second, spread evenly; with stamps."""
        written = Written()
        for count in due(changes_per_s, seconds):
            for sent in self.mix.changes(count):
                self._send(sent, written, stamped=True)
        return self._done(written)

    def _send(self, sent: tuple[Sent, ...], written: Written, *, stamped: bool) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise ServerTrouble("kafka", error.str())
            written.stamps.append((message.partition() or 0, message.offset() or 0, message.timestamp()[1]))

        for key, value in sent:
            if stamped:
                self._producer.produce(self.topic, key=key, value=value, on_delivery=delivered)
            else:
                self._producer.produce(self.topic, key=key, value=value)
        self._producer.poll(0)
        written.changes += 1
        written.records += len(sent)

    def _done(self, written: Written) -> Written:
        if left := self._producer.flush(FLUSH_WITHIN_S):
            raise ServerTrouble("kafka", f"{left} records were not taken within {FLUSH_WITHIN_S:g} s")
        self.total.changes += written.changes
        self.total.records += written.records
        return written


def due(per_s: int, seconds: float) -> Iterator[int]:
    """How many are due now, step by step. A late step makes up for it."""
    started, done = time.monotonic(), 0
    while done < per_s * seconds:
        wanted = min(int((time.monotonic() - started) * per_s), int(per_s * seconds))
        if wanted > done:
            yield wanted - done
            done = wanted
        time.sleep(STEP_S)
