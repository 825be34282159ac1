"""Dead letters: records that a reader or one target refuses, kept with their bytes and the reason.

A letter has the record's own key and value to the byte, its headers, and five of ours: where it came from, at which
stage it was refused and why. It is on the topic, acknowledged, before the position moves past the record. After a kill
a letter can be there twice; its origin headers say so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaException, Producer

from olist.batches import Rejected
from olist.errors import ServerTrouble, TooManyDeadLetters
from olist.settings import Settings

STAGE, REASON, TOPIC, PARTITION, OFFSET = (
    f"olist.{name}" for name in ("stage", "reason", "topic", "partition", "offset")
)
FLUSH_TIMEOUT_S = 30.0
TOPIC_CONFIG = {"retention.ms": "-1"}  # a letter stays until somebody has dealt with it


def dead_letter_topic(settings: Settings) -> str:
    """The one topic of all dead letters."""
    return f"{settings.topic_prefix}.dead_letters"


@dataclass
class Limit:
    """So many letters within a window of time, then stop: a bad deploy must not drain a topic into the dead letters."""

    most: int
    window_s: float
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, letters: int, now: float) -> None:
        """Count letters at a time in seconds.

        Raises:
            TooManyDeadLetters: more than `most` within the window; none of these has been written.
        """
        while self._seen and self._seen[0][0] <= now - self.window_s:
            self._seen.popleft()
        within = sum(count for _, count in self._seen) + letters
        if within > self.most:
            raise TooManyDeadLetters(
                f"{within} records refused within {self.window_s:g} s, the limit is {self.most}",
                hint="look at one with `olist topics tail`; OLIST_DEAD_LETTER_LIMIT raises the limit",
            )
        self._seen.append((now, letters))


class DeadLetters:
    """Writes letters and waits until the broker has them."""

    def __init__(self, settings: Settings) -> None:
        self.topic = dead_letter_topic(settings)
        self.limit = Limit(settings.dead_letter_limit, window_s=60.0)
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "log_level": 0,
            }
        )

    def write(self, rejected: Sequence[Rejected], now: float) -> None:
        """Write letters; return when all are acknowledged.

        Raises:
            TooManyDeadLetters: see `Limit`.
            ServerTrouble: the broker did not take them in time.
        """
        if not rejected:
            return
        self.limit.take(len(rejected), now)
        failures: list[str] = []
        for letter in rejected:
            self._producer.produce(
                self.topic,
                key=letter.record.key(),
                value=letter.record.value(),
                headers=_headers(letter),
                on_delivery=lambda error, _message: failures.append(str(error)) if error else None,
            )
        try:
            left = self._producer.flush(FLUSH_TIMEOUT_S)
        except KafkaException as error:
            raise ServerTrouble("kafka", f"dead letters: {error}") from error
        if left or failures:
            raise ServerTrouble("kafka", f"dead letters not written: {failures[0] if failures else 'no answer'}")


def _headers(letter: Rejected) -> list[tuple[str, str | bytes | None]]:
    error = letter.error
    own = getattr(letter.record, "headers", lambda: None)() or []
    ours = {
        STAGE: error.stage,
        REASON: error.reason,
        TOPIC: error.topic,
        PARTITION: error.partition,
        OFFSET: error.offset,
    }
    return [*own, *((name, str(value)) for name, value in ours.items())]
