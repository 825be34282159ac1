"""Topics in: one consumer of a group, positions from the target instead of from Kafka.

Kafka's committed offsets are not used: on every assignment the target says where to go on. Reads are
``read_committed``.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from olist.clients.kafka import client_options
from olist.errors import OlistError, PositionRefused, ServerTrouble
from olist.settings import Settings
from olist.topics.reader import Consumed

# topic -> partitions now owned; answers with topic -> partition -> next offset, less the topics that must wait.
Assigned = Callable[[Mapping[str, frozenset[int]]], Mapping[str, Mapping[int, int]]]


@dataclass
class Polled:
    """What one poll brought: records by topic in offset order, ends reached, and what is wrong with a topic.

    An end is the offset after the last record *or transaction marker* of a partition: positions can pass markers.
    """

    records: dict[str, list[Consumed]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    failed: dict[str, OlistError] = field(default_factory=dict)


class Source:
    """A consumer whose group spreads partitions, and whose offsets come from `assigned`."""

    def __init__(
        self, settings: Settings, group: str, topics: Sequence[str], assigned: Assigned, instance: str | None = None
    ) -> None:
        self._assigned = assigned
        self._reassigned = False
        self._starts: list[TopicPartition] = []
        self._paused_until: dict[str, float] = {}  # topic -> when it is read again
        self._consumer = Consumer(
            {
                **client_options(settings),
                "group.id": group,
                # A named member that comes back takes its own partitions again at once, without a rebalance.
                **({"group.instance.id": instance} if instance else {}),
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",  # an offset that is gone is a decision for people
                "enable.partition.eof": True,
                "partition.assignment.strategy": "range",
                "session.timeout.ms": settings.session_timeout_ms,
                "heartbeat.interval.ms": 2_000,
                "max.poll.interval.ms": 300_000,
                # Large fetches: one record at a time costs several times the CPU.
                "fetch.min.bytes": 1,
                "fetch.max.bytes": 32 << 20,
                "max.partition.fetch.bytes": 8 << 20,
                "queued.max.messages.kbytes": 128 << 10,
                "topic.metadata.refresh.interval.ms": 30_000,
                "log_level": 0,
            }
        )
        self._consumer.subscribe(list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke)

    def poll(self, most: int, within_s: float) -> Polled:
        """Up to `most` records, or what comes within a time. Empty when the assignment changed meanwhile.

        Raises:
            ServerTrouble: the consumer failed for good.
        """
        self._reassigned = False
        self._resume_due(time.monotonic())
        try:
            messages = self._consumer.consume(most, within_s)
        except KafkaException as error:
            raise ServerTrouble("kafka", str(error)) from error
        if self._reassigned:
            # Some of these may have been fetched before the change and belong to others now. Which, nobody can tell:
            # go back to the positions that the target gave, or the skipped ones would be lost.
            self._assign()
            return Polled()
        return _sorted_out(messages)

    def pause(self, topic: str, until: float) -> None:
        """Leave a topic's records at the broker until then (`time.monotonic`), while the other topics are read on."""
        owned = self._owned({topic})
        if owned and self._paused_until.get(topic) != until:
            self._consumer.pause(owned)
            self._paused_until[topic] = until

    def seek(self, topic: str, starts: Mapping[int, int]) -> None:
        """Read on elsewhere in a topic's partitions, paused or not; what was fetched and not yet polled is dropped.

        Every partition is assigned anew: librdkafka refuses to seek in one whose fetching has not begun.
        """
        reached = {(p.topic, p.partition): p.offset for p in self._consumer.position(self._starts)}
        for partition in self._starts:
            if partition.topic == topic:
                partition.offset = starts[partition.partition] or OFFSET_BEGINNING
            elif (offset := reached[partition.topic, partition.partition]) >= 0:  # else nothing of it was polled yet
                partition.offset = offset
        if self._paused_until.pop(topic, None) is not None:
            self._consumer.resume(self._owned({topic}))
        self._assign()

    def _assign(self) -> None:
        self._consumer.assign(self._starts)
        self._consumer.pause(self._owned(self._paused_until.keys()))

    def note(self, texts: Mapping[str, str]) -> None:
        """Leave a text beside the group's offsets of each topic's partitions (`sinks.group`)."""
        reached = self._consumer.position(self._owned(texts.keys()))
        offsets = [TopicPartition(p.topic, p.partition, max(p.offset, 0), texts[p.topic]) for p in reached]
        with suppress(KafkaException):  # no member just now; the next owner says how its tables are
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def _resume_due(self, now: float) -> None:
        over = {topic for topic, until in self._paused_until.items() if until <= now}
        if over:
            self._consumer.resume(self._owned(over))
            self._paused_until = {topic: until for topic, until in self._paused_until.items() if topic not in over}

    def _owned(self, topics: Set[str]) -> list[TopicPartition]:
        return [TopicPartition(p.topic, p.partition) for p in self._starts if p.topic in topics]

    def close(self) -> None:
        """Leave the group at once, so that others need not wait for the session to time out."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._reassigned = True
        owned: dict[str, set[int]] = defaultdict(set)
        for partition in partitions:
            owned[partition.topic].add(partition.partition)
        starts = self._assigned({topic: frozenset(numbers) for topic, numbers in owned.items()})
        for partition in partitions:
            start = starts.get(partition.topic, {}).get(partition.partition, 0)
            partition.offset = start or OFFSET_BEGINNING
        self._starts = partitions
        self._paused_until = dict.fromkeys(owned.keys() - starts.keys(), math.inf)  # where to go on is not known yet
        consumer.assign(partitions)
        consumer.resume(partitions)  # one that was paused when it was last ours may still be
        consumer.pause(self._owned(self._paused_until.keys()))

    def _on_revoke(self, consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._reassigned, self._starts, self._paused_until = True, [], {}
        self._assigned({})  # what is being written is finished before another owns it
        consumer.unassign()


def _sorted_out(messages: Sequence[Message]) -> Polled:
    polled = Polled()
    for message in messages:
        error = message.error()
        if error is None:  # nearly always: a consumed message has a topic, and no more is asked of it here
            polled.records[cast(str, message.topic())].append(cast(Consumed, message))
        elif error.code() == KafkaError._PARTITION_EOF:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            assert topic is not None and partition is not None and offset is not None  # noqa: PT018 - an end has all
            polled.ends[topic][partition] = offset
        else:
            _judge(error, message, polled)
    return polled


def _judge(error: KafkaError, message: Message, polled: Polled) -> None:
    """Note what is wrong with one topic; raise what is wrong with the consumer."""
    topic, where = message.topic(), f"{message.topic()}[{message.partition()}]"
    if error.code() == KafkaError._AUTO_OFFSET_RESET and topic is not None:
        polled.failed[topic] = PositionRefused(
            f"{where}: the topic does not have the offset that the target stands at: {error.str()}",
            hint="was the topic re-created or cut? `olist sink rebuild` reads it from its beginning",
        )
    trouble = ServerTrouble("kafka", f"{where}: {error.str()}", hint="`olist topics ls` shows what is there")
    if error.fatal():
        raise trouble
    if error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED) and topic is not None:
        polled.failed[topic] = trouble
    # Anything else is librdkafka's own to retry; it says so and goes on.
