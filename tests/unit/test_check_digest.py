from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from olist.batches import frame_schema
from olist.contracts import Column, Contract, Float, Integer, ListOf, Money, Text, Timestamp
from sinks.check.digest import Count, differing_days, digest
from tests.laws.parcels import PARCELS

SCHEMA = {column.name: frame_schema(PARCELS)[column.name] for column in PARCELS.columns}
Rows = list[dict[str, Any]]
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # rows of rows take long to draw


def values(column: Column) -> st.SearchStrategy[Any]:
    if isinstance(column.type, ListOf):
        rows = st.lists(st.fixed_dictionaries({one.name: values(one) for one in column.type.columns}), max_size=2)
        return st.none() | rows if column.nullable else rows
    kinds: dict[type, st.SearchStrategy[Any]] = {
        Text: st.text(max_size=8),
        Integer: st.integers(-(2**31), 2**31 - 1),
        Float: st.floats(allow_nan=False),
        Money: st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents).scaleb(-2)),
        Timestamp: st.integers(-(10**12), 4 * 10**15),
    }
    strategy = kinds[type(column.type)]
    return st.none() | strategy if column.nullable else strategy


rows = st.lists(st.fixed_dictionaries({column.name: values(column) for column in PARCELS.columns}), max_size=6)


def frame(some: Rows, contract: Contract = PARCELS) -> pl.DataFrame:
    return pl.DataFrame(some, schema=SCHEMA, orient="row").select(column.name for column in contract.columns)


@unhurried
@given(rows, st.randoms())
def test_the_order_of_rows_does_not_matter(some: Rows, random: Any) -> None:
    shuffled = random.sample(some, len(some))
    assert digest(PARCELS, frame(shuffled)) == digest(PARCELS, frame(some))


@unhurried
@given(rows.filter(len), st.data())
def test_any_single_cell_that_changes_changes_the_digest(some: Rows, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(some) - 1))
    column = data.draw(st.sampled_from(PARCELS.columns))
    other = data.draw(values(column))
    assume(other != some[at][column.name])
    changed = [*some[:at], {**some[at], column.name: other}, *some[at + 1 :]]
    assert digest(PARCELS, frame(changed)).whole != digest(PARCELS, frame(some)).whole


@unhurried
@given(rows.filter(len), st.data())
def test_a_row_that_is_there_twice_or_not_at_all_changes_the_digest(some: Rows, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(some) - 1))
    whole = digest(PARCELS, frame(some)).whole
    assert digest(PARCELS, frame([*some, some[at]])).whole.digest != whole.digest
    assert digest(PARCELS, frame([*some[:at], *some[at + 1 :]])).whole.digest != whole.digest
    # An exclusive or would cancel an even number of them.
    assert digest(PARCELS, frame([*some, some[at], some[at]])).whole.digest != whole.digest


@unhurried
@given(rows)
def test_the_days_add_up_to_the_whole(some: Rows) -> None:
    found = digest(PARCELS, frame(some))
    assert found.whole.rows == len(some) == sum(count.rows for count in found.days.values())


A_ROW: dict[str, Any] = {
    "parcel_id": "p",
    "leg": 1,
    "label": "l",
    "weight_g": 1,
    "sent_at": 0,
    "price": None,
    "latitude": 0.0,
    "longitude": None,
    "arrived_at": None,
    "note": None,
    "items": [],
    "returned": None,
}
AN_ITEM: dict[str, Any] = {
    "sku": "s",
    "pieces": 1,
    "serial": None,
    "price": None,
    "weight_g": None,
    "packed_at": None,
    "words": None,
}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"note": None}, {"note": ""}),
        ({"note": "~"}, {"note": None}),
        ({"parcel_id": "ab", "label": "c"}, {"parcel_id": "a", "label": "bc"}),
        ({"label": "1:x"}, {"label": "x"}),
        ({"note": "é"}, {"note": "e\u0301"}),
        ({"note": "a"}, {"note": "a "}),
        ({"note": "a\r\nb"}, {"note": "a\nb"}),
        ({"latitude": 0.0}, {"latitude": -0.0}),
        ({"latitude": None, "longitude": 1.0}, {"latitude": 1.0, "longitude": None}),
        ({"price": Decimal("0.00")}, {"price": None}),
        ({"sent_at": 1}, {"sent_at": 0}),
        ({"returned": None}, {"returned": []}),
        ({"returned": [AN_ITEM]}, {"returned": []}),
        ({"returned": [AN_ITEM]}, {"returned": [AN_ITEM, AN_ITEM]}),
        ({"returned": [AN_ITEM], "items": []}, {"returned": [], "items": [AN_ITEM]}),
        ({"items": [AN_ITEM | {"words": None}]}, {"items": [AN_ITEM | {"words": ""}]}),
        ({"items": [AN_ITEM | {"words": "~"}]}, {"items": [AN_ITEM | {"words": None}]}),
        ({"items": [AN_ITEM | {"price": Decimal("0.00")}]}, {"items": [AN_ITEM | {"price": None}]}),
        ({"items": [AN_ITEM | {"weight_g": 1.0}]}, {"items": [AN_ITEM | {"weight_g": 1.0000000000000002}]}),
        ({"items": [AN_ITEM, AN_ITEM | {"sku": "t"}]}, {"items": [AN_ITEM | {"sku": "t"}, AN_ITEM]}),
    ],
)
def test_rows_that_only_look_alike_differ(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert digest(PARCELS, frame([A_ROW | one])).whole != digest(PARCELS, frame([A_ROW | other])).whole


def test_a_day_that_differs_is_named_and_the_others_are_not() -> None:
    day_us = 86_400_000_000
    expected = [A_ROW | {"parcel_id": f"p{i}", "sent_at": i * day_us} for i in range(3)]
    found = [expected[0], expected[1] | {"label": "other"}, expected[2]]
    (one,) = differing_days(digest(PARCELS, frame(expected)), digest(PARCELS, frame(found)))
    assert str(one.day) == "1970-01-02"
    assert (one.expected.rows, one.found.rows) == (1, 1)


def test_a_row_moved_to_another_day_differs_on_both_days() -> None:
    moved = A_ROW | {"sent_at": 86_400_000_000}
    days = differing_days(digest(PARCELS, frame([A_ROW])), digest(PARCELS, frame([moved])))
    assert [(one.expected.rows, one.found.rows) for one in days] == [(1, 0), (0, 1)]


def test_no_rows_have_an_empty_digest() -> None:
    assert digest(PARCELS, frame([])).whole == Count(0, 0)
