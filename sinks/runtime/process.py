"""One sink process: a runner with its consumer, its tables and its dead letters, put together from the settings."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event

from olist.contracts import Contract
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_states
from olist.topics.dead_letters import DeadLetters
from sinks.base import factory
from sinks.group import group_of
from sinks.runtime.runner import Runner
from sinks.runtime.source import Source
from sinks.runtime.writer import TableWriter

COLLECT_AFTER = 200_000  # objects


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
    """Run one sink until `stopping` is set, or until none of its tables can go on.

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
        TablesStopped: in the end several tables did not run; of one alone its own error is raised.
        ServerTrouble: Kafka refused this consumer for good.
    """
    connect = factory(target)
    dead_letters = DeadLetters(settings)
    admin = admin_client(settings)
    writers = {
        topic: TableWriter(topic, connect(contract, settings), dead_letters)
        for contract in contracts
        for topic in [contract.topic(settings.topic_prefix)]
    }
    runner = Runner(
        writers, lambda topics: topic_states(admin, topics), stopping, patience_s=settings.patience_s, threads=threads
    )
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
