"""Dead letters: records that a reader or one target refuses, kept with their bytes and the reason.

A letter has the record's own key and value to the byte, its headers, and five of ours: where it came from, at which
stage it was refused and why. It is on the topic, acknowledged, before the position moves past the record. After a kill
a letter can be there twice; its origin headers say so.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from confluent_kafka import KafkaError, KafkaException, Producer

from olist.batches import Rejected
from olist.clients.kafka import client_options
from olist.errors import ServerTrouble, Stopped, TooManyDeadLetters
from olist.settings import Settings

STAGE, REASON, TOPIC, PARTITION, OFFSET = (
    f"olist.{name}" for name in ("stage", "reason", "topic", "partition", "offset")
)
FLUSH_TIMEOUT_S = 30.0
WINDOW_S = 60.0
LARGEST_BYTES = 32 << 20  # a letter is a little more than its record, and records have 8 MB
LONGEST_REASON = 1_000  # characters; a reason may quote the value
# A letter stays until somebody has dealt with it.
TOPIC_CONFIG = {"retention.ms": "-1", "max.message.bytes": str(LARGEST_BYTES)}


def dead_letter_topic(settings: Settings) -> str:
    """The one topic of all dead letters."""
    return f"{settings.topic_prefix}.dead_letters"


@dataclass
class Limit:
    """So many letters within a window of time, then stop: a bad deploy must not drain a topic into the dead letters.

    A letter is known by its origin, so that one written again after trouble counts once. Threads may share a limit.
    """

    most: int
    window_s: float
    _seen: dict[Hashable, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def take(self, origins: Iterable[Hashable], now: float) -> None:
        """Count letters at a time in seconds.

        Raises:
            TooManyDeadLetters: more than `most` within the window; none of these has been written.
        """
        with self._lock:
            within = {origin: at for origin, at in self._seen.items() if at > now - self.window_s}
            within |= dict.fromkeys(origins, now)
            if len(within) <= self.most:
                self._seen = within
                return
        raise TooManyDeadLetters(
            f"{len(within)} records refused within {self.window_s:g} s, the limit is {self.most}",
            hint="look at one with `olist topics tail`; OLIST_DEAD_LETTER_LIMIT raises the limit",
        )


class DeadLetters:
    """Writes letters and waits until the broker has them. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self.topic = dead_letter_topic(settings)
        self._most = settings.dead_letter_limit
        self._limits: dict[str, Limit] = {}  # by topic: one table's bad deploy is not another's
        self._producer = Producer(
            {
                **client_options(settings),
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.max.bytes": LARGEST_BYTES,
                "compression.type": "lz4",
                "log_level": 0,
            }
        )

    def write(self, rejected: Sequence[Rejected], now: float) -> None:
        """Write letters; return when all are acknowledged.

        Raises:
            TooManyDeadLetters: see `Limit`.
            ServerTrouble: the broker did not take them in time.
            Stopped: a record is too large for the letters' topic.
        """
        if not rejected:
            return
        for topic in {letter.error.topic for letter in rejected}:
            limit = self._limits.setdefault(topic, Limit(self._most, WINDOW_S))
            limit.take((_origin(letter) for letter in rejected if letter.error.topic == topic), now)
        failures: list[str] = []
        for letter in rejected:
            self._produce(letter, failures)
        left = self._producer.flush(FLUSH_TIMEOUT_S)
        if left or failures:
            raise ServerTrouble("kafka", f"dead letters not written: {failures[0] if failures else 'no answer'}")

    def _produce(self, letter: Rejected, failures: list[str]) -> None:
        try:
            self._producer.produce(
                self.topic,
                key=letter.record.key(),
                value=letter.record.value(),
                headers=_headers(letter),
                on_delivery=lambda error, _message: failures.append(str(error)) if error else None,
            )
        except BufferError as error:  # the queue is full of letters that wait for the broker
            raise ServerTrouble("kafka", f"dead letters pile up: {error}") from error
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise ServerTrouble("kafka", f"dead letters: {error}") from error
            raise Stopped(
                f"{letter.error}; and the record is too large for {self.topic}",
                hint=f"raise max.message.bytes of {self.topic} above {LARGEST_BYTES}, or skip the record by hand",
            ) from error


def _origin(letter: Rejected) -> Hashable:
    error = letter.error
    return error.stage, error.topic, error.partition, error.offset


def _headers(letter: Rejected) -> list[tuple[str, str | bytes | None]]:
    error = letter.error
    own = getattr(letter.record, "headers", lambda: None)() or []
    ours = {
        STAGE: error.stage,
        REASON: error.reason[:LONGEST_REASON],
        TOPIC: error.topic,
        PARTITION: error.partition,
        OFFSET: error.offset,
    }
    return [*own, *((name, str(value)) for name, value in ours.items())]
