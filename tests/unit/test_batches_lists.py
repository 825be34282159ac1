"""Lists of rows in a batch: exact, by column, and as strict as the flat columns beside them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olist.batches import OFFSET, Batch, decode_batch, frame_schema
from olist.changes import UNAVAILABLE, Position, codec
from olist.contracts import FIRST_MICROS, LAST_MICROS
from olist.errors import BadRecord
from sinks.check.digest import digest
from sinks.column_json import json_text
from sinks.readback_values import JSON_TIME_FORMAT, from_json, typed
from tests.laws.parcels import PARCELS, PARTITIONS, Item, parcel, topic_of, upserts
from tests.laws.readers import plain
from tests.records import FakeRecord, record_of

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # rows of rows take long to draw
TOPIC = topic_of(PARCELS)
LISTS = [column for column in PARCELS.columns if column.name in ("items", "returned")]
ITEM: dict[str, Any] = {"sku": "s", "pieces": 1, "price": "1.10", "packed_at": 5}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
items = st.builds(
    Item,
    sku=texts,
    pieces=st.integers(-(2**31), 2**31 - 1),
    serial=st.none() | st.integers(-(2**63), 2**63 - 1),
    price=st.none() | st.decimals("-9999999999.99", "9999999999.99", places=2),
    weight_g=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    packed_at=st.none() | st.integers(FIRST_MICROS, LAST_MICROS),
    words=st.none() | texts,
)
lists = st.lists(items, max_size=3)
parcels = st.lists(st.tuples(lists, st.none() | lists), max_size=6)
Drawn = list[tuple[list[Item], list[Item] | None]]


def decode(*records: FakeRecord) -> Batch:
    return decode_batch(PARCELS, TOPIC, records, 1)


def record(offset: int = 0, **values: Any) -> FakeRecord:
    row = {"parcel_id": f"p{offset}", "leg": 1, "label": "", "weight_g": 1, "sent_at": 0, "price": None}
    nothing = dict.fromkeys(("latitude", "longitude", "arrived_at", "note", "returned"))
    return record_of(PARCELS, row | nothing | {"items": []} | values, offset)


def of(drawn: Drawn) -> Batch:
    rows = [parcel(f"p{n}", items=held, returned=returned) for n, (held, returned) in enumerate(drawn)]
    return decode_batch(PARCELS, TOPIC, upserts(PARCELS, rows), PARTITIONS)


def as_dicts(rows: list[Item] | None) -> list[dict[str, Any]] | None:
    return None if rows is None else [{name: getattr(row, name) for name in Item.__struct_fields__} for row in rows]


@unhurried
@given(parcels)
def test_a_batch_holds_every_value_of_a_list_exactly(drawn: Drawn) -> None:
    batch = of(drawn)
    assert batch.frame.schema == pl.Schema(frame_schema(PARCELS))
    rows = plain(PARCELS, batch.frame.iter_rows(named=True))
    assert [(row["items"], row["returned"]) for row in rows] == [(as_dicts(a), as_dicts(b)) for a, b in drawn]


@unhurried
@given(parcels)
def test_lists_come_back_from_json_to_the_same_digest(drawn: Drawn) -> None:
    """As the warehouse's text and as the search index's arrays: what the check reads from either."""
    frame = of(drawn).frame
    texts = frame.select(json_text(column) for column in LISTS)
    from_text = [typed("there", texts[column.name], column.type, "") for column in LISTS]
    decoded = [
        from_json("there", column.name, column.type, list(map(loads, texts[column.name])), JSON_TIME_FORMAT)
        for column in LISTS
    ]
    for columns in (from_text, decoded):
        assert digest(PARCELS, frame.with_columns(columns)) == digest(PARCELS, frame)


def loads(text: str | None) -> Any:
    return None if text is None else json.loads(text)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        ([ITEM, ITEM | {"price": "1.234"}], "returned[1].price is 1.234: more than 2 decimals"),
        ([ITEM | {"price": "NaN"}, ITEM | {"price": "1.234"}], "returned[0].price is NaN, not a number"),
        ([ITEM | {"price": "1E-100000000"}], "returned[0].price is 1E-100000000: more than 2 decimals"),
        ([ITEM | {"sku": UNAVAILABLE}], "returned[0].sku was not captured"),
        ([ITEM | {"pieces": 2**31}], "at `$.returned[0].pieces`"),
        ([{"sku": "s"}], "missing required field `pieces`"),
        ([None], "got `null`"),
        ({}, "Expected `array | null`"),
        (UNAVAILABLE, "Expected `array | null`"),
        ([[ITEM]], "got `array`"),
    ],
)
def test_a_list_that_does_not_fit_stands_aside_and_its_neighbours_go_on(returned: Any, reason: str) -> None:
    batch = decode(record(0, items=[ITEM] * 3), record(1, items=[ITEM] * 2, returned=returned), record(2))
    assert batch.frame[OFFSET].to_list() == [0, 2]
    assert batch.frame["items"].list.len().to_list() == [3, 0]
    (rejected,) = batch.rejected
    assert reason in rejected.error.reason


def test_a_list_that_must_not_be_null_is_refused_as_null() -> None:
    batch = decode(record(0, items=None), record(1))
    assert batch.frame[OFFSET].to_list() == [1]
    assert "got `null` - at `$.items`" in batch.rejected[0].error.reason


def test_unknown_fields_inside_lists_are_counted_once_per_record_and_are_not_data() -> None:
    batch = decode(
        record(0, items=[ITEM | {"gift": 1}, ITEM | {"gift": 2, "note": "x"}], returned=[ITEM | {"gift": 1}], more=1),
        record(1, items=[ITEM]),
        record(2, items=[ITEM | {"gift": None}]),
    )
    assert dict(batch.unknown) == {"items[].gift": 2, "items[].note": 1, "returned[].gift": 1, "more": 1}
    assert not batch.rejected
    assert [one["price"] for one in batch.frame["items"][0]] == [Decimal("1.10")] * 2


def test_a_price_in_a_list_that_is_exact_in_another_spelling_is_taken() -> None:
    batch = decode(record(0, items=[ITEM | {"price": price} for price in ("7", "1E+3", "1.1" + "0" * 40, "0e-999999")]))
    assert [str(one["price"]) for one in batch.frame["items"][0]] == ["7.00", "1000.00", "1.10", "0.00"]


def test_a_zero_in_a_list_has_no_sign() -> None:
    weights = (-0.0, 0.0, None, -1.5)
    batch = decode(record(0, items=[ITEM | {"weight_g": weight} for weight in weights], latitude=-0.0))
    assert [str(one["weight_g"]) for one in batch.frame["items"][0]] == ["0.0", "0.0", "None", "-1.5"]
    assert str(batch.frame["latitude"][0]) == "-0.0"


maybe_bad = st.lists(
    st.sampled_from([ITEM, ITEM | {"price": "NaN"}, ITEM | {"price": None}, ITEM | {"new": 1}, {}, None, 7]), max_size=3
)


@unhurried
@given(st.lists(st.tuples(maybe_bad, st.none() | maybe_bad), max_size=6))
def test_a_batch_and_one_by_one_agree_on_which_lists_are_good(drawn: list[tuple[Any, Any]]) -> None:
    records = [record(i, items=held, returned=returned) for i, (held, returned) in enumerate(drawn)]
    good: list[int] = []
    for one in records:
        try:
            codec(PARCELS).decode(one.key(), one.value(), Position(TOPIC, 0, one.offset()))
            good.append(one.offset())
        except BadRecord:
            continue
    assert decode(*records).frame[OFFSET].to_list() == good
