from __future__ import annotations

from dataclasses import replace

import pytest

from olist.contracts import COMPACTED
from sinks.check.topic_health import TopicHealth, health
from tests.laws.parcels import PARCELS

KEPT = {"retention.ms": "-1", "retention.bytes": "-1"} | COMPACTED
WEEK = {"retention.ms": "604800000"}


@pytest.mark.parametrize(
    ("configs", "broken", "notes"),
    [
        ({}, "", 0),
        (WEEK, "", 0),  # a compacted topic keeps the last change of a key whatever its retention
        ({"cleanup.policy": "delete"}, "", 1),
        ({"cleanup.policy": "delete"} | WEEK, "retention.ms=604800000", 0),
        ({"cleanup.policy": "compact,delete"} | WEEK, "retention.ms=604800000", 0),
        ({"cleanup.policy": "delete", "retention.bytes": "1000"}, "retention.bytes=1000", 0),
        ({"delete.retention.ms": "86400000"}, "", 1),
    ],
)
def test_what_a_topics_settings_mean_for_the_truth(configs: dict[str, str], broken: str, notes: int) -> None:
    found = health(PARCELS, KEPT | configs, {0: 0})
    assert broken in found.broken
    assert bool(found.broken) == bool(broken)
    assert len(found.notes) == notes


def test_a_contract_that_wants_no_compacted_topic_gets_none() -> None:
    fleeting = replace(PARCELS, topic_config={"cleanup.policy": "delete", "retention.ms": "1000"})
    assert health(fleeting, KEPT | fleeting.topic_config, {0: 7}) == TopicHealth()


def test_a_topic_whose_first_records_were_removed_is_noted_with_where_it_begins() -> None:
    (note,) = health(PARCELS, KEPT, {1: 40, 0: 0}).notes
    assert "{1: 40}" in note
