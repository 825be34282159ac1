from __future__ import annotations

from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.batches import COMMITTED_AT, OFFSET, OP, PARTITION, Batch, decode_batch, frame_schema
from olist.changes import UNAVAILABLE, Position, codec
from olist.errors import BadRecord
from olist.tables import ORDER_ITEMS, TABLES
from tests.records import FakeRecord, envelope, record_of

TOPIC = "olist.public.order_items"
HOME_IS_2 = 3  # in a topic of so many partitions, `item()` belongs to partition 2


def item(order: str = "o", number: int = 1, price: str = "1.00") -> dict[str, Any]:
    return {
        "order_id": order,
        "order_item_id": number,
        "product_id": "p",
        "seller_id": "s",
        "shipping_limit_date": 1_000_000,
        "price": price,
        "freight_value": "0.50",
    }


def decode(*records: FakeRecord, partitions: int = 1) -> Batch:
    return decode_batch(ORDER_ITEMS, TOPIC, records, partitions)


def test_a_batch_has_the_contracts_columns_and_where_each_change_came_from() -> None:
    record = record_of(ORDER_ITEMS, item(price="12.34"), 7, op="u", partition=2)
    batch = decode(record, partitions=HOME_IS_2)
    row = batch.frame.row(0, named=True)
    assert batch.frame.schema == pl.Schema(frame_schema(ORDER_ITEMS))
    assert (row["price"], row[OP], row[PARTITION], row[OFFSET]) == (Decimal("12.34"), "u", 2, 7)
    assert row[COMMITTED_AT].microsecond == 1_000
    assert batch.next == {2: 8}


def test_a_key_in_another_partition_than_its_own_is_refused_and_the_reason_says_where_it_belongs() -> None:
    stray = record_of(ORDER_ITEMS, item(), 7, partition=1)
    batch = decode(stray, record_of(ORDER_ITEMS, item(), 3, partition=2), partitions=HOME_IS_2)
    assert batch.frame[PARTITION].to_list() == [2]
    assert batch.next == {1: 8, 2: 4}
    (rejected,) = batch.rejected
    assert (rejected.record, rejected.error.partition, rejected.error.offset) == (stray, 1, 7)
    for said in (f"partition 2 of {HOME_IS_2}", "murmur2_random", '{"order_id":"o","order_item_id":1}'):
        assert said in rejected.error.reason


@pytest.mark.parametrize(
    "spelling",
    [
        b'{"order_id": "o", "order_item_id": 1}',
        b'{"order_item_id":1,"order_id":"o"}',
        b'{"order_id":"\\u006f","order_item_id":1}',
    ],
)
def test_a_key_spelt_otherwise_is_taken_where_the_same_key_lies_and_nowhere_else(spelling: bytes) -> None:
    value = record_of(ORDER_ITEMS, item()).raw_value
    own, others = 2, [p for p in range(HOME_IS_2) if p != 2]
    batch = decode(*(FakeRecord(spelling, value, 0, p) for p in (own, *others)), partitions=HOME_IS_2)
    assert batch.frame[PARTITION].to_list() == [own]
    assert [rejected.error.partition for rejected in batch.rejected] == others


def test_a_delete_and_a_tombstone_in_another_partition_are_refused_as_well() -> None:
    key = record_of(ORDER_ITEMS, item()).raw_key
    batch = decode(
        record_of(ORDER_ITEMS, item(), 1, op="d", partition=1), FakeRecord(key, None, 2, 1), partitions=HOME_IS_2
    )
    assert batch.frame.is_empty()
    assert [rejected.error.offset for rejected in batch.rejected] == [1, 2]


def test_of_a_delete_only_the_key_is_set() -> None:
    batch = decode(
        record_of(ORDER_ITEMS, item(), 1, op="d"), FakeRecord(b'{"order_id":"t","order_item_id":2}', None, 2)
    )
    assert batch.frame[OP].to_list() == ["d", "d"]
    assert batch.frame["order_id"].to_list() == ["o", "t"]
    assert batch.frame["price"].null_count() == 2


def test_bad_records_stand_aside_with_their_place_and_the_rest_goes_on() -> None:
    batch = decode(
        record_of(ORDER_ITEMS, item("a"), 0),
        record_of(ORDER_ITEMS, item("b", price="NaN"), 1),
        FakeRecord(None, b"{}", 2),
        FakeRecord(b"{}", b"garbage", 3),
        record_of(ORDER_ITEMS, {**item("c"), "seller_id": UNAVAILABLE}, 4),
        FakeRecord(codec(ORDER_ITEMS).encode_key(("d", 1)), envelope("c", item("e")), 5),
        FakeRecord(codec(ORDER_ITEMS).encode_key(("d", 1)), envelope("t", None), 6),
        FakeRecord(codec(ORDER_ITEMS).encode_key(("d", 1)), envelope("c", item("d"), ts_us=2**63), 7),
        FakeRecord(codec(ORDER_ITEMS).encode_key(("d", 1)), envelope("c", item("d"), ts_us=2**63 - 1), 8),
        record_of(ORDER_ITEMS, item("z"), 9),
    )
    assert batch.frame["order_id"].to_list() == ["a", "z"]
    assert sorted(r.error.offset for r in batch.rejected) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert batch.next == {0: 10}


@pytest.mark.parametrize("price", ["1e-100000000", "1.23E-39", "1E-77", "-1e-999999", "1E+9999"])
def test_a_price_that_arrow_would_round_or_die_of_is_refused(price: str) -> None:
    batch = decode(record_of(ORDER_ITEMS, item("a", price=price), 0), record_of(ORDER_ITEMS, item("b"), 1))
    assert batch.frame["order_id"].to_list() == ["b"]
    assert "price is" in batch.rejected[0].error.reason


@pytest.mark.parametrize(
    ("price", "held"),
    [("1.1" + "0" * 45, "1.10"), ("0e-999999", "0.00"), ("0e9999999", "0.00"), ("7", "7.00"), ("1E+03", "1000.00")],
)
def test_a_price_that_is_exact_in_another_spelling_is_taken(price: str, held: str) -> None:
    batch = decode(record_of(ORDER_ITEMS, item(price=price), 0))
    assert batch.frame["price"].to_list() == [Decimal(held)]


def test_a_record_nested_a_thousand_levels_deep_is_a_bad_record() -> None:
    deep = b'{"op":"c","source":{"ts_ms":1},"before":' + b"[" * 2_000 + b"]" * 2_000 + b"}"
    batch = decode(FakeRecord(codec(ORDER_ITEMS).encode_key(("a", 1)), deep, 0), record_of(ORDER_ITEMS, item("b"), 1))
    assert [r.error.offset for r in batch.rejected] == [0]
    assert batch.frame["order_id"].to_list() == ["b"]


def test_unknown_fields_are_counted_and_are_not_data() -> None:
    batch = decode(
        record_of(ORDER_ITEMS, {**item("a"), "gift": 1, "note": "x"}, 0),
        record_of(ORDER_ITEMS, item("b"), 1),
        record_of(ORDER_ITEMS, {**item("c"), "gift": 2}, 2),
    )
    assert dict(batch.unknown) == {"gift": 2, "note": 1}
    assert batch.frame.height == 3
    assert "gift" not in batch.frame.columns


def test_the_last_change_of_each_key_is_kept() -> None:
    batch = decode(
        record_of(ORDER_ITEMS, item("a", price="1.00"), 0),
        record_of(ORDER_ITEMS, item("b", price="2.00"), 1),
        record_of(ORDER_ITEMS, item("a", price="3.00"), 2, op="u"),
        record_of(ORDER_ITEMS, item("b"), 3, op="d"),
    )
    last = batch.last_per_key()
    assert last.select("order_id", OP, OFFSET).rows() == [("a", "u", 2), ("b", "d", 3)]


def test_rows_that_a_target_refuses_leave_the_frame_and_keep_their_record() -> None:
    records = [record_of(ORDER_ITEMS, item(name), i) for i, name in enumerate("abc")]
    batch = decode(*records).without([(1, "too blue")], records, stage="somewhere")
    assert batch.frame["order_id"].to_list() == ["a", "c"]
    (rejected,) = batch.rejected
    assert rejected.record is records[1]
    assert (rejected.error.stage, rejected.error.offset, rejected.error.reason) == ("somewhere", 1, "too blue")
    assert batch.next == {0: 3}


def test_no_records_give_an_empty_frame_of_the_right_shape() -> None:
    for contract in TABLES.values():
        batch = decode_batch(contract, contract.topic("p"), [], 1)
        assert batch.frame.schema == pl.Schema(frame_schema(contract))
        assert batch.next == {}


maybe_bad = st.sampled_from(["1.00", "-0.01", "NaN", "1.999", "99999999999", "x", "1e2"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), maybe_bad, st.sampled_from("cud")), max_size=12), st.integers(1, 3))
def test_a_batch_and_one_by_one_agree_on_what_is_good(changes: list[tuple[str, str, str]], partitions: int) -> None:
    records = [record_of(ORDER_ITEMS, item(k, price=p), i, op=op) for i, (k, p, op) in enumerate(changes)]
    good: list[int] = []
    for record in records:
        try:
            codec(ORDER_ITEMS).decode(record.key(), record.value(), Position(TOPIC, 0, record.offset()), partitions)
            good.append(record.offset())
        except BadRecord:
            continue
    batch = decode(*records, partitions=partitions)
    assert batch.frame[OFFSET].to_list() == good
    assert len(batch.rejected) == len(records) - len(good)
