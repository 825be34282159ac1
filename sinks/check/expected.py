"""What targets must hold, recomputed from a topic: one reading for all views of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import polars as pl

from olist.batches import decode_batch
from olist.contracts import Contract
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.reading import read
from sinks.check.latest import Latest, View


@dataclass(frozen=True)
class Expected:
    """Live rows by view; the records read, those that no reader takes, and fields that the contract does not know."""

    rows: Mapping[View, pl.DataFrame]
    records: int
    undecodable: tuple[str, ...]
    unknown: frozenset[str]


def expected(contract: Contract, state: TopicState, settings: Settings, views: Collection[View]) -> Expected:
    """Read the topic once, from its beginning to the furthest end of the views.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    latest = [Latest(contract, view) for view in set(views)]
    count, undecodable, unknown = 0, list[str](), set[str]()
    for records in read(settings, state.topic, state.first, furthest(views)):
        batch = decode_batch(contract, state.topic, records, len(state.end))
        count += len(records)
        undecodable += [str(rejected.error) for rejected in batch.rejected]
        unknown |= batch.unknown.keys()
        for one in latest:
            one.take(batch, records)
    return Expected({one.view: one.rows() for one in latest}, count, tuple(undecodable), frozenset(unknown))


def furthest(views: Collection[View]) -> dict[int, int]:
    """Per partition the furthest end."""
    ends: dict[int, int] = {}
    for view in views:
        for partition, end in view.end:
            ends[partition] = max(end, ends.get(partition, 0))
    return ends
