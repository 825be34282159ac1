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
from olist.errors import ServerTrouble
from olist.kafka_client import client_options
from olist.settings import Settings

MOST_AT_ONCE = 20_000
SILENCE_S = 30.0
LOOK_EVERY_S = 0.1
HOPELESS = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)  # the rest librdkafka retries


class Consumed(Record, Protocol):
    """A consumed record with its time, (kind, milliseconds since 1970), and its headers."""

    def timestamp(self) -> tuple[int, int]: ...  # noqa: D102
    def headers(self) -> Any: ...  # noqa: D102


def read(settings: Settings, topic: str, first: Mapping[int, int], end: Mapping[int, int]) -> Iterator[list[Consumed]]:
    """Lists of records from `first` up to but without `end`, per partition in offset order.

    Raises:
        ServerTrouble: Kafka does not answer, or said that it cannot.
    """
    left = {partition: end[partition] for partition, start in first.items() if start < end[partition]}
    if not left:
        return
    consumer = _consumer(settings, topic, {partition: first[partition] for partition in left})
    last_heard = time.monotonic()
    try:
        while left:
            messages = _consume(consumer, LOOK_EVERY_S)
            if messages:
                last_heard = time.monotonic()
            elif time.monotonic() > last_heard + SILENCE_S:
                raise ServerTrouble("kafka", f"{topic}: no record for {SILENCE_S:.0f} s", hint="`olist status`")
            records = [record for record in _records(messages) if record.offset() < end[record.partition()]]
            if records:
                yield records
            _strike_off(messages, left)
    finally:
        consumer.close()


def follow(settings: Settings, topic: str, first: Mapping[int, int]) -> Iterator[list[Consumed]]:
    """Records from `first` for ever; an empty list when there is nothing new, so that the caller may stop.

    Raises:
        ServerTrouble: Kafka said that it cannot.
    """
    consumer = _consumer(settings, topic, first)
    try:
        while True:
            yield _records(_consume(consumer, LOOK_EVERY_S))
    finally:
        consumer.close()


def _consumer(settings: Settings, topic: str, first: Mapping[int, int]) -> Consumer:
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
        }
    )
    consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in first.items()])
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


def _strike_off(messages: list[Message], left: dict[int, int]) -> None:
    """Forget the partitions whose end was reached: by a record at or past it, or by the broker saying so."""
    for message in messages:
        problem, partition = message.error(), _number(message.partition())
        if problem is not None and problem.code() != KafkaError._PARTITION_EOF:
            continue
        reached = _number(message.offset()) + (problem is None)
        if partition in left and reached >= left[partition]:
            del left[partition]


def _number(value: int | None) -> int:
    assert value is not None  # the stubs allow None; a consumed message has both
    return value
