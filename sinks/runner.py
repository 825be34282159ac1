"""The one runner of all sinks: polls topics, hands what came to the tables' writers, side by side."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import structlog

from olist.contracts import Contract
from olist.dead_letters import DeadLetters
from olist.errors import PositionRefused, TargetRewound
from olist.positions import TopicState, check_topic
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_states
from sinks.patience import Patience
from sinks.source import Polled, Source
from sinks.targets import factory
from sinks.throughput import Throughput
from sinks.writer import TableWriter

log = structlog.get_logger()

COLLECT_AFTER = 200_000  # objects
LEAST_SHARE = 0.1  # of the interval that a poll gathers for, when writing takes longer than the interval

TopicStates = Callable[[Sequence[str]], Mapping[str, TopicState]]


class Runner:
    """Carries the topics of some contracts to one target, as one member of the target's group."""

    def __init__(
        self, writers: Mapping[str, TableWriter], states: TopicStates, patience: Patience, *, threads: int
    ) -> None:
        self.writers = dict(writers)  # by topic
        self.states = states
        self.patience = patience
        self.owned: Mapping[str, frozenset[int]] = {}
        self.throughput = Throughput(time.monotonic())
        self._again: dict[str, Mapping[int, int]] = {}  # topics to read again, and from where
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sink")

    def run(self, source: Source, *, most: int, interval_s: float) -> None:
        """Poll and flush until asked to stop. A batch that has begun is finished first."""
        due = time.monotonic()  # batches begin at this pace, however long the writing of the last one took
        try:
            while not self.patience.stopping.is_set():
                polled = self._poll(source, most, max(due + interval_s - time.monotonic(), interval_s * LEAST_SHARE))
                due = time.monotonic()
                for topic, rest_s in self.flush(polled).items():
                    source.rest(topic, time.monotonic() + rest_s)
                while self._again:
                    source.go_to(*self._again.popitem())
                if line := self.throughput.take(sum(map(len, polled.records.values())), time.monotonic()):
                    log.info("written", **line)
        finally:
            self._pool.shutdown(wait=True)
            source.close()
            for writer in self.writers.values():
                writer.table.close()

    def assigned(self, owned: Mapping[str, frozenset[int]]) -> Mapping[str, Mapping[int, int]]:
        """Take over partitions and say where to go on in each: the target knows, not Kafka."""
        self.owned = owned
        if not owned:
            return {}
        states = self._states(sorted(owned))
        starts = self._pool.map(lambda topic: self.writers[topic].take_over(owned[topic], states[topic]), owned)
        answer = dict(zip(owned, starts, strict=True))
        log.info("assigned", positions={topic: sum(start.values()) for topic, start in answer.items()})
        return answer

    def flush(self, polled: Polled) -> dict[str, float]:
        """Write what a poll brought, tables side by side; return the topics whose tables ask for a rest, in seconds.

        The topics' ids are asked for after reading: records read while a topic still had our id are ours for certain.
        """
        news = [t for t in self.owned if self.writers[t].has_news(polled.records.get(t, []), polled.ends.get(t, {}))]
        if not news:
            return {}
        self._check_topics(news)
        list(self._pool.map(lambda topic: self._write(topic, polled), news))
        rests = {topic: self.writers[topic].table.rest_s() for topic in news}
        return {topic: rest_s for topic, rest_s in rests.items() if rest_s > 0}

    def _write(self, topic: str, polled: Polled) -> None:
        """Write a topic's part of a poll. Where its target was set back meanwhile, take it over again as it is now."""
        writer = self.writers[topic]
        try:
            writer.write(polled.records.get(topic, []), polled.ends.get(topic, {}))
        except TargetRewound as rewound:
            log.warning("reading again", topic=topic, reason=str(rewound))
            self._again[topic] = writer.take_over(self.owned[topic], self._states([topic])[topic])

    def _poll(self, source: Source, most: int, within_s: float) -> Polled:
        try:
            return source.poll(most, within_s)
        except PositionRefused:
            self._check_topics(sorted(self.owned))  # says more, when the topic itself is another one
            raise

    def _check_topics(self, topics: Sequence[str]) -> None:
        states = self._states(topics)
        for topic in topics:
            check_topic(self.writers[topic].table.name, self.writers[topic].held, states[topic], self.owned[topic])

    def _states(self, topics: Sequence[str]) -> Mapping[str, TopicState]:
        return self.patience.insist("topics", lambda: self.states(topics))


def run_sink(
    settings: Settings,
    target: str,
    contracts: Sequence[Contract],
    stopping: Event,
    *,
    most: int = 100_000,
    interval_s: float = 1.0,
    threads: int = 4,
    instance: str | None = None,
) -> None:
    """Run one sink until `stopping` is set.

    Args:
        settings: where the servers are.
        target: ``iceberg``, ``postgres`` or ``opensearch``.
        contracts: the tables to carry.
        stopping: set it from a signal handler.
        most: records in one poll, over all topics.
        interval_s: how often a batch begins: the price of a commit against the freshness of the target.
        threads: tables written side by side.
        instance: this member's own name in the group; after a kill the same name gets its partitions back at once.

    Raises:
        Stopped: going on would lose, double or mix data.
        ServerTrouble: a server stayed away for longer than ``settings.patience_s``.
    """
    connect = factory(target)
    patience = Patience(settings.patience_s, stopping, time.monotonic)
    letters = DeadLetters(settings)
    admin = admin_client(settings)
    writers = {
        topic: TableWriter(topic, connect(contract, settings), letters, patience)
        for contract in contracts
        for topic in [contract.topic(settings.topic_prefix)]
    }
    runner = Runner(writers, lambda topics: topic_states(admin, topics), patience, threads=threads)
    source = Source(settings, group_of(settings, target), sorted(writers), runner.assigned, instance)
    with _seldom_collected():
        runner.run(source, most=most, interval_s=interval_s)


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Let garbage collection wait for a batch's worth of objects.

    A poll makes tens of thousands of records, which no cycle holds; at the usual 700 the collector would walk all of
    them again and again: a fifth of a sink's CPU.
    """
    first, *later = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, *later)
    try:
        yield
    finally:
        gc.set_threshold(first, *later)


def group_of(settings: Settings, target: str) -> str:
    """The consumer group of a target's sink processes."""
    return f"{settings.topic_prefix}.sink.{target}"
