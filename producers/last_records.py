"""Read the last record of every partition, to see where an earlier replay ended."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from olist.changes import MALFORMED, decode_envelope
from olist.clients.kafka import client_options
from olist.errors import ServerTrouble
from olist.positions import TopicState
from olist.settings import Settings
from producers.resume import LastRecord

DEADLINE_S = 30.0
POLL_S = 0.5


def last_records(settings: Settings, states: Mapping[str, TopicState]) -> list[LastRecord]:
    """The last record of each partition that has any; `states` is by table.

    Raises:
        ServerTrouble: Kafka does not hand them out in time.
    """
    tables = {state.topic: table for table, state in states.items()}
    wanted = {(state.topic, p): end for state in states.values() for p, end in state.end.items() if end}
    if not wanted:
        return []
    consumer = Consumer(
        {
            **client_options(settings),
            "group.id": "olist-replay",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, end - 1) for (topic, partition), end in wanted.items()])
        found = _read(consumer, dict(wanted), time.monotonic() + DEADLINE_S)
    finally:
        consumer.close()
    return [
        LastRecord(tables[topic], topic, partition, end, *_origin(found.get((topic, partition))))
        for (topic, partition), end in wanted.items()
    ]


def _read(consumer: Consumer, wanted: dict[tuple[str, int], int], deadline: float) -> dict[tuple[str, int], bytes]:
    """One value per partition; a partition whose last offset holds no record (a transaction's marker) gives none."""
    found: dict[tuple[str, int], bytes] = {}
    while wanted:
        if time.monotonic() > deadline:
            raise ServerTrouble("kafka", f"no answer for {len(wanted)} partitions in {DEADLINE_S:g} s")
        for message in consumer.consume(len(wanted), POLL_S):
            where = _partition(message)
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise ServerTrouble("kafka", f"{where[0]}[{where[1]}]: {error.str()}")
            value = message.value()
            if error is None and value is not None:
                found[where] = value if isinstance(value, bytes) else value.encode()
            wanted.pop(where, None)
    return found


def _partition(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0


def _origin(value: bytes | None) -> tuple[str, str | None]:
    """The connector and the sequence that a record names; nothing where it is no envelope at all."""
    if value is None:
        return "", None
    try:
        source = decode_envelope(value).source
    except MALFORMED:
        return "", None
    return source.connector, source.sequence
