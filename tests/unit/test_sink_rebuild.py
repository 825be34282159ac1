"""Which rows of a table came from records that its topic no longer has."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from olist.batches import META_SCHEMA, OFFSET, PARTITION
from olist.positions import Positions, TopicState
from sinks.cli.rebuild import RebuiltTable
from sinks.readback import Reading

STATE = TopicState("t", "id", {0: 0, 1: 5}, {0: 10, 1: 20})
PLACES = [(0, 1), (0, 4), (0, 4), (1, 3), (1, 7), (2, 0)]  # one place twice, one in a partition that the topic lacks


def table(*places: tuple[int, int], topic_id: str = "id") -> RebuiltTable:
    schema = {name: META_SCHEMA[name] for name in (PARTITION, OFFSET)}
    chunks = [pl.DataFrame([place], schema=schema, orient="row") for place in places]
    positions = Positions("t", topic_id, {0: 10, 1: 20})
    return RebuiltTable.of("parcels", "lost", Reading(positions, iter([pl.DataFrame(schema=schema), *chunks])))


@pytest.mark.parametrize(
    ("kept", "gone"),
    [
        ({0: [1, 4], 1: [3, 7]}, 1),
        ({0: [0, 1, 2, 9], 1: [5, 6, 7, 8]}, 4),
        ({0: [9], 1: [0]}, 6),
        ({}, 6),
    ],
)
def test_every_row_whose_record_is_gone_counts(kept: dict[int, list[int]], gone: int) -> None:
    one = table(*PLACES)
    for partition, offsets in kept.items():
        for offset in offsets:  # as they come, a few at a time
            one.sought[partition].strike_off(np.array([offset], dtype=np.int64))
    told = f"parcels: {gone} of 6 rows come from records that are gone from t, which begins at offsets {{1: 5}}: lost"
    assert one.loss(STATE) == told


def test_nothing_is_said_where_the_topic_has_every_rows_record() -> None:
    one = table((0, 1))
    one.sought[0].strike_off(np.arange(10))
    assert one.loss(STATE) == ""
    assert table().loss(STATE) == ""


def test_rows_of_a_topic_that_was_made_again_are_not_looked_for_in_the_new_one() -> None:
    assert "t was made again since" in table((0, 1), topic_id="another").loss(STATE)
