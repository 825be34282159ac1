from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from olist.batches import decode_batch
from sinks.check import latest as latest_module
from sinks.check.latest import Latest, Refused, View, fingerprint
from tests.laws import targets
from tests.laws.parcels import PARCELS, PARTITIONS, Taken, delete, parcel, partition_of, tombstone, topic_of, upsert

END = dict.fromkeys(range(PARTITIONS), 1000)
TOPIC = topic_of(PARCELS)


def replay(records: list[Taken], view: View, chunk: int = 1000) -> dict[str, dict[str, Any]]:
    held = Latest(PARCELS, view)
    for at in range(0, len(records), chunk):
        part = records[at : at + chunk]
        held.take(decode_batch(PARCELS, TOPIC, part, PARTITIONS), part)
    return {row["parcel_id"]: row for row in held.rows().iter_rows(named=True)}


def changes(steps: list[tuple[str, int]]) -> list[Taken]:
    """One record per step at rising offsets: (key, weight), a negative weight deletes."""
    return [
        upsert(PARCELS, parcel(key, weight_g=weight), offset) if weight >= 0 else delete(PARCELS, (key, 1), offset)
        for offset, (key, weight) in enumerate(steps)
    ]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-3, 9)), max_size=30), st.integers(1, 7))
def test_the_last_change_of_each_key_wins_however_the_topic_is_cut_into_chunks(
    steps: list[tuple[str, int]], chunk: int
) -> None:
    records = changes(steps)
    model = {key[0]: row for key, row in targets.latest(PARCELS, records).items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latest_module, "LEAST_ROWS_MERGED", 2)
        found = replay(records, View.of(END), chunk)
    assert {key: row["weight_g"] for key, row in found.items()} == {k: row["weight_g"] for k, row in model.items()}


def test_a_tombstone_after_its_delete_changes_nothing_and_a_later_create_brings_the_row_back() -> None:
    records = [
        upsert(PARCELS, parcel("a"), 0),
        delete(PARCELS, ("a", 1), 1),
        tombstone(PARCELS, ("a", 1), 2),
        upsert(PARCELS, parcel("a", label="again"), 3),
    ]
    assert not replay(records[:3], View.of(END))
    assert replay(records, View.of(END))["a"]["label"] == "again"


def test_changes_at_or_past_the_end_do_not_count() -> None:
    records = changes([("a", 1), ("a", 2), ("a", 3)])
    found = replay(records, View.of({**END, partition_of(("a", 1)): 2}))
    assert found["a"]["weight_g"] == 2


def test_of_a_refused_record_the_change_before_it_stands() -> None:
    records = changes([("a", 1), ("b", 5), ("a", 2)])
    refused = Refused(records[2].partition(), records[2].offset(), fingerprint(records[2]))
    found = replay(records, View.of(END, [refused]))
    assert {key: row["weight_g"] for key, row in found.items()} == {"a": 1, "b": 5}


def test_a_refusal_of_another_record_at_the_same_place_is_not_this_ones() -> None:
    records = changes([("a", 1)])
    other = changes([("a", 2)])[0]
    refused = Refused(other.partition(), other.offset(), fingerprint(other))
    assert replay(records, View.of(END, [refused]))["a"]["weight_g"] == 1


def test_views_with_the_same_end_and_no_refusal_before_it_are_one() -> None:
    late = Refused(0, 1000, 1)
    assert View.of(END) == View.of(END, [late])
