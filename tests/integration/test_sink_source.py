"""One topic is paused, or read again, while the others are read on and nothing of any is skipped."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from olist.contracts import Contract
from olist.settings import Settings
from olist.stack.local import Stack
from sinks.runtime.source import Source
from tests.laws.parcels import fresh, parcel
from tests.waiting import wait_until
from tests.written import Writer

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(stack: Stack) -> Settings:
    return stack.settings.model_copy(update={"topic_prefix": "paused"})


class Seen:
    """What was polled, and where to go on: an assignment may come in two rebalances, and reads nothing twice."""

    def __init__(self) -> None:
        self.keys: dict[str, list[bytes | None]] = {}
        self._next: dict[tuple[str, int], int] = {}

    def starts(self, owned: Mapping[str, frozenset[int]]) -> Mapping[str, Mapping[int, int]]:
        """As a target answers with its positions."""
        return {topic: {p: self._next.get((topic, p), 0) for p in partitions} for topic, partitions in owned.items()}

    def poll(self, source: Source) -> dict[str, list[bytes | None]]:
        """Keys by topic, with those of one more poll."""
        for topic, records in source.poll(1000, 0.1).records.items():
            for record in records:
                self.keys.setdefault(topic, []).append(record.key())
                self._next[topic, record.partition()] = record.offset() + 1
        return self.keys


def test_a_paused_topic_holds_up_no_other_and_loses_nothing(settings: Settings) -> None:
    writer, tired, brisk = Writer(settings), fresh(), fresh()
    topics = {contract: contract.topic(settings.topic_prefix) for contract in (tired, brisk)}

    def write(contract: Contract, *names: str) -> None:
        writer.create(contract, [parcel(name) for name in names])

    write(tired, "a", "b")
    write(brisk, "a")
    seen = Seen()
    source = Source(settings, "paused", sorted(topics.values()), seen.starts)
    wait_until(lambda: sum(map(len, seen.poll(source).values())) == 3, "the first records")
    source.pause(topics[tired], math.inf)
    write(tired, "c", "d")
    write(brisk, "b")
    wait_until(lambda: len(seen.poll(source)[topics[brisk]]) == 2, "the brisk topic's next record")
    assert len(seen.keys[topics[tired]]) == 2
    source.pause(topics[tired], 0.0)  # it is over
    wait_until(lambda: len(seen.poll(source)[topics[tired]]) == 4, "what came during the pause")
    assert len(set(seen.keys[topics[tired]])) == 4
    source.close()


def test_one_topic_is_read_again_and_the_other_goes_on_where_it_was(settings: Settings) -> None:
    writer, emptied, other = Writer(settings), fresh(), fresh()
    topics = {contract: contract.topic(settings.topic_prefix) for contract in (emptied, other)}
    for contract in topics:
        writer.create(contract, [parcel(name) for name in "abc"])
    seen = Seen()
    source = Source(settings, "read again", sorted(topics.values()), seen.starts)
    wait_until(lambda: sum(map(len, seen.poll(source).values())) == 6, "the records")
    source.seek(topics[emptied], dict.fromkeys(range(settings.partitions), 0))
    wait_until(lambda: len(seen.poll(source)[topics[emptied]]) == 6, "the same records again")
    writer.create(other, [parcel("d")])
    wait_until(lambda: len(seen.poll(source)[topics[other]]) == 4, "what came to the other meanwhile")
    assert {topic: len(set(keys)) for topic, keys in seen.keys.items()} == {topics[emptied]: 3, topics[other]: 4}
    source.close()
