from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from olist.batches import OFFSET, OP, decode_batch
from olist.positions import Positions, TopicState
from sinks.check.held import Held
from sinks.check.judge import judge
from sinks.check.report import Finding, Report, TableReport
from tests.laws.parcels import PARCELS, PARTITIONS, parcel, topic_of, upserts

TOPIC = topic_of(PARCELS)
PARCEL_COUNT = 5
FIRST = dict.fromkeys(range(4), 0)


def state(end: int = 100) -> TopicState:
    return TopicState(TOPIC, "t", FIRST, dict.fromkeys(range(4), end))


def rows() -> pl.DataFrame:
    records = upserts(PARCELS, [parcel(f"p{i}", note=None if i else "") for i in range(PARCEL_COUNT)])
    return decode_batch(PARCELS, TOPIC, records, PARTITIONS).frame.drop(OP)


def held(frame: pl.DataFrame, next_offset: int = 100) -> Held:
    return Held(frame, Positions(TOPIC, "t", dict.fromkeys(range(4), next_offset)))


def found(frame: pl.DataFrame, most: int = 10) -> Finding:
    return judge(PARCELS, "memory", rows(), held(frame), state(), most=most)


def set_cell(at: str, column: str, value: Any) -> pl.DataFrame:
    frame = rows()
    literal = pl.lit(value, dtype=frame.schema[column])
    return frame.with_columns(pl.when(pl.col("parcel_id") == at).then(literal).otherwise(column).alias(column))


def test_the_same_rows_in_another_order_are_equal() -> None:
    finding = found(rows().sort(OFFSET, descending=True))  # polars 2.1 reverses a column of null lists badly
    assert finding.state == "equal"
    assert not finding.differences
    assert finding.found.rows == PARCEL_COUNT


def test_a_changed_value_is_named_with_both_values() -> None:
    finding = found(set_cell("p3", "label", "tampered"))
    assert finding.state == "different"
    (one,) = finding.differences
    assert (one.kind, one.key) == ("different", {"parcel_id": "p3", "leg": 1})
    assert one.fields == {"label": ("plain", "tampered")}


@pytest.mark.parametrize(("at", "value"), [("p0", None), ("p1", "")])
def test_null_and_the_empty_text_are_not_the_same(at: str, value: str | None) -> None:
    (one,) = found(set_cell(at, "note", value)).differences
    assert set(one.fields) == {"note"}


def test_a_float_whose_bits_differ_is_found_though_it_compares_equal() -> None:
    expected, there = set_cell("p2", "latitude", 0.0), set_cell("p2", "latitude", -0.0)
    finding = judge(PARCELS, "memory", expected, held(there), state(), most=10)
    assert [one.fields.keys() for one in finding.differences] == [{"latitude"}]


def test_a_missing_row_an_extra_row_and_a_doubled_row_are_told_apart() -> None:
    frame = rows()
    extra = frame.head(1).with_columns(pl.lit("new").alias("parcel_id"))
    finding = found(pl.concat([frame.filter(pl.col("parcel_id") != "p1"), extra, frame.tail(1)]))
    kinds = {(one.kind, one.key["parcel_id"], one.rows) for one in finding.differences}
    assert kinds == {("missing", "p1", 0), ("extra", "new", 1), ("doubled", "p4", 2)}


def test_no_more_differences_are_told_than_asked_for() -> None:
    assert len(found(rows().clear(), most=2).differences) == 2
    assert found(rows().clear(), most=0).state == "different"


def test_a_target_that_is_behind_but_right_so_far_is_behind() -> None:
    finding = judge(PARCELS, "memory", rows(), held(rows()), state(120))
    assert (finding.state, finding.lag) == ("behind", 80)


def test_a_target_that_is_behind_and_wrong_is_different() -> None:
    finding = judge(PARCELS, "memory", rows(), held(rows().tail(2)), state(120))
    assert (finding.state, finding.lag) == ("different", 80)


def test_a_target_that_is_ahead_of_the_first_look_is_compared_where_it_stands() -> None:
    finding = judge(PARCELS, "memory", rows(), held(rows()), state(50))
    assert (finding.state, finding.lag) == ("equal", 0)


def newer(offset: int) -> pl.DataFrame:
    """Two of the rows, of the last an own offset."""
    place = pl.when(pl.int_range(pl.len()) == 1).then(pl.lit(offset, pl.Int64)).otherwise(OFFSET).alias(OFFSET)
    return rows().head(2).with_columns(place)


@pytest.mark.parametrize(("offset", "found"), [(150, "moving"), (5000, "different"), (0, "different")])
def test_rows_between_the_positions_and_the_topics_end_are_moving_where_there_are_no_transactions(
    offset: int, found: str
) -> None:
    there = replace(held(newer(offset)), snapshot=False)
    assert judge(PARCELS, "memory", rows(), there, state(200)).state == found
    assert judge(PARCELS, "memory", rows(), replace(there, moved=True), state(200)).state == "moving"


def test_rows_newer_than_the_positions_of_the_same_snapshot_are_different() -> None:
    assert judge(PARCELS, "memory", rows(), held(newer(150)), state(200)).state == "different"


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["equal", "equal"], 0),
        (["equal", "different"], 1),
        (["behind", "absent"], 1),
        (["broken"], 1),
        (["equal", "behind"], 3),
        (["unreachable", "moving"], 3),
        ([], 3),
    ],
)
def test_the_exit_code_says_equal_different_or_cannot_tell(states: list[Any], code: int) -> None:
    equal = found(rows())
    table = TableReport("parcels", TOPIC, equal.found, 5, (), (), tuple(replace(equal, state=one) for one in states))
    assert Report((table,)).exit_code == code
    assert Report((table,)).equal is (code == 0)
