"""Read a stretch of a topic: from given offsets to given ends, many records at a time, ``read_committed``.

No group, nothing committed: looking at a topic changes nothing. Offsets have holes, so an end is reached by passing it
or by the broker saying so, never by counting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from olist.batches import Record
from olist.clients.kafka import client_options
from olist.errors import ServerTrouble
from olist.settings import Settings

MOST_AT_ONCE = 10_000
SILENCE_S = 30.0
LOOK_EVERY_S = 0.1
SOON_S = 0.02
"""For whoever reads a few records and waits for them: a list is handed over so early, however short it is."""
END_WAITED_FOR_MS = 10
"""How long the broker waits for more before it says that a stretch has ended; by default half a second."""
HEAD_BYTES = 64 << 10
HOPELESS = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)  # the rest librdkafka retries


Where = tuple[str, int]
"""A topic and a partition of it."""

Offsets = Mapping[Where, int]


class Consumed(Record, Protocol):
    """A consumed record with its time, (kind, milliseconds since 1970), and its headers."""

    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102
    def headers(self) -> Any: ...  # noqa: D102


def read(settings: Settings, topic: str, first: Mapping[int, int], end: Mapping[int, int]) -> Iterator[list[Consumed]]:
    """Lists of records from `first` up to but without `end`, per partition in offset order.

    Raises:
        ServerTrouble: Kafka does not answer, or said that it cannot.
    """
    starts, ends = ({(topic, partition): at for partition, at in offsets.items()} for offsets in (first, end))
    return read_partitions(settings, starts, ends)


def read_partitions(
    settings: Settings, first: Offsets, end: Offsets, *, within_s: float = LOOK_EVERY_S
) -> Iterator[list[Consumed]]:
    """As `read`, of many topics at once. `within_s` is how long a list may wait for more records.

    Raises:
        ServerTrouble: Kafka does not answer, or said that it cannot.
    """
    left = {where: end[where] for where, start in first.items() if start < end[where]}
    for messages in _until_struck_off(settings, first, left, {}, within_s):
        good = [message for message in messages if message.error() is None]
        if records := _records([message for message in good if _number(message.offset()) < end[_where(message)]]):
            yield records
        _strike_off(messages, left)


def heads(settings: Settings, first: Offsets) -> list[Consumed]:
    """The first record at or behind each offset, where there is one: that very record may be compacted away.

    Raises:
        ServerTrouble: Kafka does not answer, or said that it cannot.
    """
    found: dict[Where, Consumed] = {}
    left = dict.fromkeys(first, 0)  # any record, and any end, is past it
    little = {"max.partition.fetch.bytes": HEAD_BYTES}
    for messages in _until_struck_off(settings, first, left, little, SOON_S):
        for message in messages:
            if message.error() is None:
                found.setdefault(_where(message), cast(Consumed, message))
        _strike_off(messages, left)
    return list(found.values())


def _until_struck_off(
    settings: Settings, first: Offsets, left: Mapping[Where, int], options: Mapping[str, int], within_s: float
) -> Iterator[list[Message]]:
    """What comes of the partitions in `left`, ends included, until the caller has struck all of them off."""
    if not left:
        return
    starts = {where: first[where] for where in left}
    consumer = _consumer(settings, starts, {"fetch.wait.max.ms": END_WAITED_FOR_MS, **options})
    last_heard = time.monotonic()
    try:
        while left:
            messages = _consume(consumer, within_s)
            if messages:
                last_heard, before = time.monotonic(), set(left)
                yield messages
                # A broker exceeds the size it is asked for by one batch, of the first partition it can: one that is
                # read no more would go on taking the turns of those whose batches are as large.
                if done := before - left.keys():
                    consumer.incremental_unassign([TopicPartition(topic, partition) for topic, partition in done])
            elif time.monotonic() > last_heard + SILENCE_S:
                topics = ", ".join(sorted({topic for topic, _partition in left}))
                raise ServerTrouble("kafka", f"{topics}: no record for {SILENCE_S:.0f} s", hint="`olist status`")
    finally:
        consumer.close()


def follow(settings: Settings, topic: str, first: Mapping[int, int]) -> Iterator[list[Consumed]]:
    """Records from `first` for ever; an empty list when there is nothing new, so that the caller may stop.

    Raises:
        ServerTrouble: Kafka said that it cannot.
    """
    consumer = _consumer(settings, {(topic, partition): at for partition, at in first.items()}, {})
    try:
        while True:
            yield _records(_consume(consumer, LOOK_EVERY_S))
    finally:
        consumer.close()


def _consumer(settings: Settings, first: Offsets, options: Mapping[str, int]) -> Consumer:
    consumer = Consumer(
        {
            **client_options(settings),
            "group.id": "olist-reader",  # asked for by the library; no group is joined by `assign`
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            # Compaction and retention may pass the offset between asking and reading.
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "fetch.max.bytes": 32 << 20,
            "max.partition.fetch.bytes": 8 << 20,
            "queued.max.messages.kbytes": 64 << 10,
            "log_level": 0,
            **options,
        }
    )
    consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in first.items()])
    return consumer


def _consume(consumer: Consumer, within_s: float) -> list[Message]:
    """What came within a time, partition ends included. `within_s` also bounds how long a partly filled list waits."""
    try:
        messages = consumer.consume(MOST_AT_ONCE, within_s)
    except KafkaException as error:
        raise ServerTrouble("kafka", str(error)) from error
    for message in messages:
        problem = message.error()
        if problem is not None and (problem.fatal() or problem.code() in HOPELESS):
            raise ServerTrouble("kafka", f"{message.topic()}: {problem.str()}", hint="`olist status`")
    return messages


def _records(messages: list[Message]) -> list[Consumed]:
    """What is a record and not an event. The stubs let its partition and offset be None; a consumed one has both."""
    return [cast(Consumed, message) for message in messages if message.error() is None]


def _strike_off(messages: list[Message], left: dict[Where, int]) -> None:
    """Forget the partitions whose end was reached: by a record at or past it, or by the broker saying so."""
    for message in messages:
        problem, where = message.error(), _where(message)
        if problem is not None and problem.code() != KafkaError._PARTITION_EOF:
            continue
        reached = _number(message.offset()) + (problem is None)
        if where in left and reached >= left[where]:
            del left[where]


def _where(message: Message) -> Where:
    return str(message.topic()), _number(message.partition())


def _number(value: int | None) -> int:
    assert value is not None  # the stubs allow None; a consumed message has both
    return value
