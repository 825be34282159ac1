"""Entries of a topic against those of a target: who differs, and what cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.batches import OFFSET, OP, PARTITION, decode_batch
from sinks.check.comparison import Comparison, View, compare
from sinks.check.entries import Spill, buckets_for, entries
from sinks.check.history import compare_history
from sinks.check.refusals import Refused, fingerprint
from sinks.check.report import Finding, Report, TableReport
from sinks.check.topic_entries import TopicEntries
from tests.laws import targets
from tests.laws.parcels import PARCELS, PARTITIONS, Taken, delete, parcel, partition_of, tombstone, topic_of, upsert

TOPIC = topic_of(PARCELS)
END = dict.fromkeys(range(PARTITIONS), 1000)
KEYS = [f"p{i}" for i in range(5)]
FLAG = 4  # of the only target


def frame_of(records: Sequence[Taken]) -> pl.DataFrame:
    return decode_batch(PARCELS, TOPIC, records, partitions_of(records)).frame


def partitions_of(records: Sequence[Taken]) -> int:
    """One, where all records lie in the first; else as many as parcels have."""
    return PARTITIONS if any(record.partition() for record in records) else 1


def in_one_partition(records: Sequence[Taken]) -> list[Taken]:
    """The records of a topic that has but one."""
    return [replace(record, in_partition=0) for record in records]


def rows_of(records: Sequence[Taken]) -> pl.DataFrame:
    """What a target holds that has taken all of these."""
    last = frame_of(records).unique(PARCELS.key, keep="last", maintain_order=True)
    return last.filter(pl.col(OP) != "d").drop(OP)


def compared(
    records: Sequence[Taken],
    found: pl.DataFrame,
    view: View | None = None,
    *,
    refused: Sequence[Taken] = (),
    chunk: int = 1000,
    buckets: int = 1,
    history: bool = False,
    late: frozenset[str] = frozenset(),
) -> Comparison:
    """The topic's records and the target's rows, by way of entries on this disk."""
    letters, result = Refused(), Comparison()
    for one in refused:
        letters.add(one.partition(), one.offset(), fingerprint(one), "no")
    with TemporaryDirectory() as folder:
        early = Spill(Path(folder, "early"), buckets) if late else None
        topic = TopicEntries(Spill(Path(folder, "topic"), buckets), {"memory": letters}, early, late)
        for at in range(0, len(records), chunk):
            part = records[at : at + chunk]
            topic.take(PARCELS, decode_batch(PARCELS, TOPIC, part, partitions_of(records)), part)  # type: ignore[arg-type] # no time, no headers
        side = Spill(Path(folder, "side"), buckets)
        side.add(entries(PARCELS, found))
        view = replace(view or View(END), refused=FLAG, whole=topic.whole)
        for number in range(buckets):
            changes, held = topic.spill.bucket(number), side.bucket(number)
            if history:
                compare_history(changes, held, view, result, 10, early.bucket(number) if early else None)
            else:
                compare(changes, held, view, result, 10)
    return result


def created() -> list[Taken]:
    return [upsert(PARCELS, parcel(key, note=None if at else ""), at) for at, key in enumerate(KEYS)]


def found(frame: pl.DataFrame) -> dict[str, int]:
    return dict(compared(created(), frame).counts)


def set_cell(at: str, column: str, value: Any) -> pl.DataFrame:
    frame = rows_of(created())
    literal = pl.lit(value, dtype=frame.schema[column])
    return frame.with_columns(pl.when(pl.col("parcel_id") == at).then(literal).otherwise(column).alias(column))


def test_the_same_rows_in_another_order_are_equal() -> None:
    result = compared(created(), rows_of(created()).sort(OFFSET, descending=True))
    assert not result.counts
    assert result.expected == result.found
    assert result.found.whole.rows == len(KEYS)


@pytest.mark.parametrize(
    ("at", "column", "value"),
    [
        ("p3", "label", "tampered"),
        ("p0", "note", None),
        ("p1", "note", ""),
        ("p2", "latitude", -23.500000000000004),
        ("p2", OFFSET, 3),
        ("p2", OFFSET, 900),
        ("p2", PARTITION, 9),
        ("p2", "_committed_at", None),
    ],
)
def test_any_cell_that_is_not_the_topics_makes_its_row_different(at: str, column: str, value: Any) -> None:
    assert found(set_cell(at, column, value)) == {"different": 1}


def test_a_float_whose_bits_differ_is_found_though_it_compares_equal() -> None:
    records = [upsert(PARCELS, parcel("a", latitude=0.0), 0)]
    there = rows_of([upsert(PARCELS, parcel("a", latitude=-0.0), 0)])
    assert compared(records, there).counts == {"different": 1}


def test_a_missing_row_an_extra_row_and_a_doubled_row_are_told_apart() -> None:
    frame = rows_of(created())
    extra = frame.head(1).with_columns(pl.lit("new").alias("parcel_id"))
    result = compared(created(), pl.concat([frame.filter(pl.col("parcel_id") != "p1"), extra, frame.tail(1)]))
    assert result.counts == {"missing": 1, "extra": 1, "doubled": 1}
    assert {(one.kind, one.rows) for one in result.first} == {("missing", 1), ("extra", 1), ("doubled", 2)}


def test_a_key_that_is_there_twice_is_doubled_even_if_one_of_its_rows_is_wrong() -> None:
    wrong = set_cell("p4", "label", "other").filter(pl.col("parcel_id") == "p4")
    assert found(pl.concat([rows_of(created()), wrong])) == {"doubled": 1}


def changes(steps: Sequence[tuple[str, int]]) -> list[Taken]:
    """One record per step at rising offsets: (key, weight), a negative weight deletes."""
    return [
        upsert(PARCELS, parcel(key, weight_g=weight), offset) if weight >= 0 else delete(PARCELS, (key, 1), offset)
        for offset, (key, weight) in enumerate(steps)
    ]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-3, 9)), max_size=30), st.integers(1, 7))
def test_the_last_change_of_each_key_is_expected_however_topic_and_keys_are_cut(
    steps: list[tuple[str, int]], chunk: int
) -> None:
    records = changes(steps)
    there = rows_of(records) if records else rows_of(created()).clear()
    result = compared(records, there, chunk=chunk, buckets=3)
    assert not result.counts
    assert result.expected.whole.rows == len(targets.latest(PARCELS, records)) if records else True


def test_a_tombstone_after_its_delete_changes_nothing_and_a_later_create_brings_the_row_back() -> None:
    records = [
        upsert(PARCELS, parcel("a"), 0),
        delete(PARCELS, ("a", 1), 1),
        tombstone(PARCELS, ("a", 1), 2),
        upsert(PARCELS, parcel("a", label="again"), 3),
    ]
    assert not compared(records[:3], rows_of(records[:3])).counts
    assert not compared(records, rows_of(records)).counts
    assert compared(records[:3], rows_of(records)).counts == {"extra": 1}


def test_changes_at_or_past_the_end_do_not_count() -> None:
    records = changes([("a", 1), ("a", 2), ("a", 3)])
    view = View({**END, partition_of(("a", 1)): 2})
    assert not compared(records, rows_of(records[:2]), view).counts
    assert compared(records, rows_of(records), view).counts == {"different": 1}


def test_of_a_refused_record_the_change_before_it_stands() -> None:
    records = changes([("a", 1), ("b", 5), ("a", 2)])
    result = compared(records, rows_of(records[:2]), refused=[records[2]])
    assert not result.counts
    assert result.refused_rows == 1
    assert result.refused_at == [(records[2].partition(), 2)]


def test_a_refused_change_that_a_later_one_replaced_is_no_refused_row() -> None:
    records = changes([("a", 1), ("a", 2), ("a", 3)])
    result = compared(records, rows_of(records), refused=[records[1]])
    assert (dict(result.counts), result.refused_rows) == ({}, 0)


def test_a_refusal_of_another_record_at_the_same_place_is_not_this_ones() -> None:
    records, other = changes([("a", 1)]), changes([("a", 2)])
    assert compared(records, rows_of(records).clear(), refused=other).counts == {"missing": 1}


def test_a_refused_record_that_a_rebuild_took_after_all_is_not_refused() -> None:
    records = changes([("a", 1), ("a", 2)])
    result = compared(records, rows_of(records), refused=[records[1]])
    assert (dict(result.counts), result.refused_rows) == ({}, 0)


def cleaned(records: Sequence[Taken], *gone: int) -> list[Taken]:
    """The topic after Kafka's cleaner has removed changes that newer ones replaced."""
    return [record for record in records if record.offset() not in gone]


def test_a_row_whose_change_was_cleaned_away_by_one_that_the_target_refused_cannot_be_judged() -> None:
    records = changes([("a", 1), ("b", 5), ("a", 2)])
    result = compared(cleaned(records, 0), rows_of(records[:2]), refused=[records[2]])
    assert (dict(result.counts), result.unjudged, result.refused_rows) == ({}, 1, 1)
    assert result.expected == result.found


def test_a_refused_change_of_a_cleaned_topic_leaves_unsaid_whether_a_row_was_there_before() -> None:
    records = in_one_partition(changes([("b", 5), ("b", 1), ("a", 2)]))
    there, refused = rows_of(records[:2]), records[2:]
    assert compared(records, there, refused=refused).unjudged == 0
    result = compared(cleaned(records, 0), there, refused=refused)
    assert (dict(result.counts), result.unjudged) == ({}, 1)


def test_a_row_whose_change_was_cleaned_away_by_one_past_the_targets_position_cannot_be_judged() -> None:
    records = changes([("a", 1), ("a", 2), ("a", 3)])
    view = View({**END, partition_of(("a", 1)): 2})
    result = compared(cleaned(records, 0, 1), rows_of(records[:2]), view)
    assert (dict(result.counts), result.unjudged) == ({}, 1)


def test_a_row_that_no_newer_change_replaced_is_extra_though_the_topic_was_cleaned() -> None:
    records = changes([("a", 1), ("b", 2), ("b", 3)])
    assert compared(cleaned(records, 0, 1), rows_of(records)).counts == {"extra": 1}


def test_a_row_whose_record_was_removed_with_all_before_it_cannot_be_judged() -> None:
    records = in_one_partition(changes([("a", 1), ("b", 2), ("c", 3)]))
    result = compared(records[2:], rows_of(records), View({0: 10}, first={0: 2}))
    assert (dict(result.counts), result.unjudged) == ({}, 2)
    kept = [upsert(PARCELS, parcel("a", label="later"), 5)]
    late = compared(in_one_partition([records[2], *kept]), rows_of(records), View({0: 10}, first={0: 2}))
    assert (dict(late.counts), late.unjudged) == ({"different": 1}, 1)


def test_a_row_of_a_place_that_was_never_cleaned_is_extra() -> None:
    records = in_one_partition([*changes([("b", 1), ("c", 2), ("d", 3)]), upsert(PARCELS, parcel("a"), 10)])
    planted = rows_of(in_one_partition([upsert(PARCELS, parcel("a", label="planted"), 0)]))
    there = pl.concat([rows_of(records[:3]), planted])
    assert compared(records, there, View({0: 10})).counts == {"extra": 1}


@pytest.mark.parametrize("steps", [[("a", 1), ("a", 2)], [("a", 1), ("a", -1)], [("b", 0), ("a", 2)]])
def test_a_row_that_is_exactly_a_change_past_the_positions_is_ahead_where_there_are_no_transactions(
    steps: list[tuple[str, int]],
) -> None:
    records = changes(steps)
    there, view = rows_of(records), View(dict.fromkeys(END, 1), snapshot=False)
    assert (dict(compared(records, there, view).counts), compared(records, there, view).ahead) == ({}, 1)
    assert sum(compared(records, there, replace(view, snapshot=True)).counts.values()) == 1


def test_a_wrong_row_is_different_though_another_is_ahead_of_the_positions() -> None:
    records = changes([("a", 1), ("b", 2), ("a", 3)])
    there = rows_of(records).with_columns(label=pl.lit("tampered"))
    view = View(dict.fromkeys(END, 2), snapshot=False)
    assert compared(records, there, view).counts == {"different": 2}
    half = there.with_columns(label=pl.when(pl.col("parcel_id") == "b").then("label").otherwise(pl.lit("plain")))
    result = compared(records, half, view)
    assert (dict(result.counts), result.ahead) == ({"different": 1}, 1)


def history_of(records: Sequence[Taken]) -> pl.DataFrame:
    """What a sink that took the records at once has in its history: no key was live before."""
    batch = decode_batch(PARCELS, TOPIC, records, partitions_of(records))
    return batch.every_change(lambda keys: pl.repeat(value=False, n=keys.height, dtype=pl.Boolean, eager=True))


def test_a_tombstone_is_expected_of_a_history_where_it_deletes_a_row_and_nowhere_else() -> None:
    behind = [*changes([("a", 1), ("a", -1)]), tombstone(PARCELS, ("a", 1), 2)]
    lone = [*changes([("a", 1)]), tombstone(PARCELS, ("a", 1), 1)]
    assert history_of(behind).height == history_of(lone).height == 2
    for records in (behind, lone):
        assert not compared(records, history_of(records), history=True).counts
        assert not compared(records, frame_of(records), history=True).counts  # as earlier versions wrote them
    assert compared(lone, history_of(lone[:1]), history=True).counts == {"missing": 1}
    assert not compared(cleaned(behind, 0, 1), history_of(behind), history=True).counts


def test_a_history_may_hold_more_than_a_cleaned_topic_and_lack_nothing_of_it() -> None:
    records = changes([("a", 1), ("a", 2), ("a", -1), ("b", 1)])
    result = compared(cleaned(records, 0, 1), history_of(records), history=True)
    assert (dict(result.counts), result.found.whole.rows) == ({}, 2)


@pytest.mark.parametrize(
    ("damage", "counts"),
    [
        (lambda h: h.filter(pl.col(OFFSET) != 1), {"missing": 1}),
        (lambda h: pl.concat([h, h.filter(pl.col(OFFSET) == 1)]), {"doubled": 1}),
        (lambda h: h.with_columns(weight_g=pl.col("weight_g") + (pl.col(OFFSET) == 1)), {"different": 1}),
        (
            lambda h: h.with_columns(pl.when(pl.col(OFFSET) == 1).then(pl.lit("d")).otherwise(OP).alias(OP)),
            {"different": 1},
        ),
        (lambda h: pl.concat([h, h.head(1).with_columns(pl.lit(2000, pl.Int64).alias(OFFSET))]), {"extra": 1}),
    ],
)
def test_a_history_that_lacks_doubles_alters_or_invents_a_change_differs(damage: Any, counts: dict[str, int]) -> None:
    records = changes([("a", 1), ("a", 2), ("b", 3)])
    assert compared(records, damage(history_of(records)), history=True).counts == counts


def test_of_a_change_that_a_history_holds_without_a_column_that_came_later_nobody_can_tell_why() -> None:
    records = [upsert(PARCELS, parcel("a", note="new"), 0), upsert(PARCELS, parcel("b"), 1)]
    records = in_one_partition(records)
    without = history_of(records).with_columns(pl.lit(None, dtype=pl.String).alias("note"))
    result = compared(records, without, history=True, late=frozenset({"note"}))
    assert (dict(result.counts), result.unjudged, result.expected == result.found) == ({}, 1, True)
    damaged = without.with_columns(weight_g=pl.col("weight_g") + 1)
    assert compared(records, damaged, history=True, late=frozenset({"note"})).counts == {"different": 2}
    assert compared(records, without, history=True).counts == {"different": 1}


def test_buckets_are_as_many_as_keep_each_small() -> None:
    assert [buckets_for(rows) for rows in (0, 1, 300_000, 10_000_000)] == [1, 1, 5, 153]


EQUAL = Finding("memory", "equal")


@pytest.mark.parametrize(
    ("states", "refused_rows", "code"),
    [
        (["equal", "equal"], 0, 0),
        (["equal", "different"], 0, 1),
        (["behind", "absent"], 0, 1),
        (["broken"], 0, 1),
        (["equal", "behind"], 0, 3),
        (["equal", "stalled"], 0, 3),
        (["unreachable", "moving"], 0, 3),
        ([], 0, 3),
        (["equal", "equal"], 2, 4),
        (["equal", "different"], 2, 1),
        (["equal", "behind"], 2, 3),
    ],
)
def test_the_exit_code_says_equal_different_cannot_tell_or_refused(
    states: list[Any], refused_rows: int, code: int
) -> None:
    findings = tuple(replace(EQUAL, state=one, refused_rows=refused_rows) for one in states)
    report = Report((TableReport("parcels", TOPIC, EQUAL.found, 5, (), (), findings),))
    assert report.exit_code == code
    assert report.equal is (code in (0, 4))
