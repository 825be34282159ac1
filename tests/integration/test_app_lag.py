"""How far a group is behind what Kafka holds, transactions' markers left out."""

from __future__ import annotations

import time
from itertools import count

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from olist.settings import Settings
from olist.stack.local import Stack
from olist.topics.admin import admin_client, ensure_topic, topic_states
from stream_apps.deploy.lag import SHORT, Lag, lag

pytestmark = pytest.mark.integration

NUMBERS = count(1)
TOPICS, PARTITIONS = 12, 4
AGE_S = 5000.0


@pytest.fixture
def group(stack: Stack) -> str:
    """One of the test's own, and the beginning of its topics' names."""
    return f"lag{next(NUMBERS)}"


def made(settings: Settings, group: str, how_many: int) -> list[str]:
    topics = [f"{group}.{number}" for number in range(how_many)]
    for topic in topics:
        ensure_topic(settings, topic, {}, PARTITIONS)
    return topics


def write(settings: Settings, topics: list[str], records: int, *, in_transactions: int = 0, at_s: float = 0) -> None:
    """So many records to each partition, in so many transactions."""
    settled = {"transactional.id": topics[0]} if in_transactions else {}
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, **settled})
    if in_transactions:
        producer.init_transactions(30)
    for _ in range(in_transactions or 1):
        if in_transactions:
            producer.begin_transaction()
        for topic in topics:
            for partition in range(PARTITIONS):
                for _ in range(records):
                    producer.produce(topic, b"v", b"k", partition, timestamp=int((at_s or time.time()) * 1000))
        if in_transactions:
            producer.commit_transaction(30)
    assert producer.flush(30) == 0


def commit(settings: Settings, group: str, topics: list[str], before_end: int) -> None:
    """Let the group have read all but the last so many offsets of each partition."""
    states = topic_states(admin_client(settings), topics).values()
    read = [TopicPartition(state.topic, p, end - before_end) for state in states for p, end in state.end.items()]
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": group})
    consumer.commit(offsets=read, asynchronous=False)
    consumer.close()


def test_markers_behind_the_last_records_are_nothing_to_read_and_looked_through_at_once(
    stack: Stack, group: str
) -> None:
    topics = made(stack.settings, group, TOPICS)
    write(stack.settings, topics, 1, in_transactions=3)
    commit(stack.settings, group, topics, before_end=1)
    began = time.monotonic()
    assert lag(stack.settings, group, topics) == Lag(0, 0.0)
    assert time.monotonic() - began < 0.5 * TOPICS, "each topic by itself takes the broker half a second"


def test_records_among_markers_are_counted_one_by_one_with_the_time_of_the_oldest(stack: Stack, group: str) -> None:
    topics = made(stack.settings, group, 2)
    write(stack.settings, topics, 2, in_transactions=3, at_s=time.time() - AGE_S)
    commit(stack.settings, group, topics, before_end=6)  # two transactions of two records and a marker
    found = lag(stack.settings, group, topics)
    assert found.records == 2 * 2 * PARTITIONS * len(topics)
    assert AGE_S <= found.oldest_s < AGE_S + 300


def test_a_long_way_is_measured_in_offsets_and_as_old_as_its_first_record(stack: Stack, group: str) -> None:
    topics = made(stack.settings, group, 2)
    commit(stack.settings, group, topics[1:], before_end=0)
    write(stack.settings, topics[:1], 1, at_s=time.time() - AGE_S)
    write(stack.settings, topics[:1], SHORT)
    write(stack.settings, topics[1:], 1)
    found = lag(stack.settings, group, topics)
    assert found.records == (SHORT + 1) * PARTITIONS + PARTITIONS
    assert AGE_S <= found.oldest_s < AGE_S + 300
