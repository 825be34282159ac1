"""A data set's life as decoded changes, as the replayer would write it, for tests that need no Kafka."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from olist.changes import Change, Position, codec
from olist.source import Dataset
from olist.tables import TABLES
from producers.encoding import KEY, VALUE, Origin, encode
from producers.sequence import TABLE, TABLE_NAMES, sequence


def records(dataset: Dataset) -> Iterator[tuple[str, bytes, bytes]]:
    """Every change in event time: the table's name, the record's key and value."""
    for chunk in sequence(dataset.frames).iter_slices(20_000):
        encoded = encode(dataset.frames, chunk, Origin("tests", "tests"))
        for at, key, value in zip(encoded[TABLE], encoded[KEY], encoded[VALUE], strict=True):
            yield TABLE_NAMES[at], key, value


def replayed(dataset: Dataset) -> Iterator[Change]:
    """The same decoded; a position's topic is the table's name, its partition 0."""
    offsets = {table: count() for table in TABLES}
    for table, key, value in records(dataset):
        yield codec(TABLES[table]).decode(key, value, Position(table, 0, next(offsets[table])))


def shuffled(changes: list[Change], seed: int) -> list[Change]:
    """Each topic in its own order, the topics in no order among each other."""
    chance = random.Random(seed)
    by_topic: dict[str, list[Change]] = {}
    for change in reversed(changes):
        by_topic.setdefault(change.position.topic, []).append(change)
    turns = [topic for topic, left in by_topic.items() for _ in left]
    chance.shuffle(turns)
    return [by_topic[topic].pop() for topic in turns]


def topic_by_topic(changes: list[Change], *, children_first: bool) -> list[Change]:
    """One topic after the other."""
    order = list(reversed(TABLES)) if children_first else list(TABLES)
    return sorted(changes, key=lambda change: order.index(change.position.topic))
