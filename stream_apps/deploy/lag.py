"""How far a consumer group is behind the topics it reads: the same for both engines, from what the group committed.

Offsets have holes. A transaction leaves a marker behind its last record, so the distance to the end may never become
zero although nothing is left to read; therefore short distances are read, and their records counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from olist.errors import ServerTrouble
from olist.kafka_client import client_options
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import TIMEOUT_S, admin_client, topic_states
from olist.topics.reading import read

SHORT = 1000
"""Distances up to this many offsets are read and counted."""

SETTLING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
)
PAUSE_S = 0.1

Offsets = Mapping[tuple[str, int], int]
"""(topic, partition) -> offset."""


class Lag(msgspec.Struct, frozen=True):
    """`records` still to be read, an upper bound where they are many. `oldest_s` is for how long the oldest of them has
    waited (0 when there is none): how stale the app's rows may be."""

    records: int
    oldest_s: float


def lag(settings: Settings, group: str, topics: Iterable[str]) -> Lag:
    """Where the group stands.

    Raises:
        ServerTrouble: Kafka does not answer.
        Stopped: there is no such topic.
    """
    states = topic_states(admin_client(settings), topics)
    stands = committed(settings, group, states.values())
    records, oldest_ms = 0, None
    for state in states.values():
        behind = distances(state, stands)
        counted, at_ms = _waiting(settings, state, behind)
        records += counted
        oldest_ms = min(filter(None, (oldest_ms, at_ms)), default=None)
    return Lag(records, 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000))


def committed(settings: Settings, group: str, states: Iterable[TopicState]) -> dict[tuple[str, int], int]:
    """The offsets that a group has committed for some topics; nothing for one that nobody knows.

    Asked by a consumer of that group which joins nothing: the admin client's own call has no coordinator to ask for
    when the broker answers that it is another or is loading, and dies in librdkafka's thread (its `rd_kafka_cgrp_op`).

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    asked = [TopicPartition(state.topic, p) for state in states for p in state.end]
    consumer = Consumer({**client_options(settings), "group.id": group, "log_level": 0})
    try:
        found = _settled(consumer, asked, group)
    finally:
        consumer.close()
    if failed := next((p for p in found if p.error), None):
        raise ServerTrouble("kafka", f"group {group}, {failed.topic}: {failed.error}", hint="`olist status`")
    return {(str(p.topic), int(p.partition)): int(p.offset) for p in found if p.offset >= 0}


def _settled(consumer: Consumer, asked: list[TopicPartition], group: str) -> list[TopicPartition]:
    """The broker's answer, once a coordinator has taken the group: the first group of a broker waits for its topic."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return consumer.committed(asked, timeout=TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in SETTLING or time.monotonic() > deadline:
                raise ServerTrouble("kafka", f"group {group}: {error}", hint="`olist status`") from error
            time.sleep(PAUSE_S)


def distances(state: TopicState, stands: Offsets) -> dict[int, int]:
    """Partition -> offsets between where the group stands and the end, where there are any."""
    first = {p: max(stands.get((state.topic, p), 0), state.first[p]) for p in state.end}
    return {p: end - first[p] for p, end in state.end.items() if end > first[p]}


def _waiting(settings: Settings, state: TopicState, behind: Mapping[int, int]) -> tuple[int, int | None]:
    """Records still to be read, and the time (ms since 1970) of the oldest of them."""
    short = {p: state.end[p] - distance for p, distance in behind.items() if distance <= SHORT}
    long = {p: state.end[p] - distance for p, distance in behind.items() if distance > SHORT}
    records = [r for some in read(settings, state.topic, short, state.end) for r in some]
    # The records that stood at those very offsets may be compacted away: the next ones count.
    heads = next(read(settings, state.topic, long, state.end), [])
    times = [record.timestamp()[1] for record in (*records, *heads)]
    return len(records) + sum(behind[p] for p in long), min(times, default=None)
