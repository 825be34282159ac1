from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olist.changes import UNAVAILABLE, Change, Position, codec, decode_envelope
from olist.errors import BadRecord
from olist.tables import ORDER_ITEMS, ORDER_REVIEWS
from tests.records import envelope

RECORDED = Path(__file__).parents[3] / "shared" / "recorded"
AT = Position("olist.public.order_items", 3, 17)
ITEM = {
    "order_id": "o1",
    "order_item_id": 1,
    "product_id": "p",
    "seller_id": "s",
    "shipping_limit_date": 1_507_288_035_000_000,
    "price": "39.99",
    "freight_value": "6.72",
}
KEY = b'{"order_id":"o1","order_item_id":1}'

needs_recorded = pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded Debezium messages at {RECORDED}")


def recorded() -> list[dict[str, Any]]:
    files = sorted(RECORDED.glob("*.jsonl"))
    lines = [line for file in files if "avro" not in file.name for line in file.read_text("utf-8").split("\n") if line]
    return [json.loads(line) for line in lines]


def is_envelope(value: str) -> bool:
    return "source" in json.loads(value)


@needs_recorded
def test_recorded_debezium_envelopes_encode_back_to_the_same_json() -> None:
    values = [m["value"] for m in recorded() if m["value"] and is_envelope(m["value"])]
    assert len(values) > 80
    for value in values:
        again = msgspec.json.encode(decode_envelope(value.encode()))
        assert json.loads(again) == json.loads(value)


@needs_recorded
def test_recorded_envelopes_keep_debeziums_order_of_fields() -> None:
    rows = [m["value"] for m in recorded() if m["value"] and is_envelope(m["value"]) and '"message"' not in m["value"]]
    for value in rows:
        again = msgspec.json.encode(decode_envelope(value.encode()))
        assert list(json.loads(again)) == list(json.loads(value))


@needs_recorded
def test_recorded_items_decode_to_changes_and_tombstones_to_deletes() -> None:
    messages = [m for m in recorded() if m["topic"].endswith(".order_items")]
    assert messages
    for m in messages:
        value = m["value"].encode() if m["value"] else None
        change = codec(ORDER_ITEMS).decode(m["key"].encode(), value, Position(m["topic"], m["partition"], m["offset"]))
        assert change.key == tuple(json.loads(m["key"])[name] for name in ORDER_ITEMS.key)
        assert (change.row is None) == (change.op == "d")
        assert change.op == (json.loads(m["value"])["op"] if m["value"] else "d")


@needs_recorded
def test_recorded_heartbeats_and_transaction_metadata_are_bad_records_of_any_table() -> None:
    others = [m for m in recorded() if m["value"] and not is_envelope(m["value"])]
    assert others
    for m in others:
        with pytest.raises(BadRecord) as refused:
            codec(ORDER_ITEMS).decode(m["key"].encode(), m["value"].encode(), AT)
        assert (refused.value.topic, refused.value.partition, refused.value.offset) == (AT.topic, 3, 17)


def test_an_update_decodes_to_its_row_and_commit_time() -> None:
    change = codec(ORDER_ITEMS).decode(KEY, envelope("u", ITEM, ts_us=5), AT)
    assert isinstance(change, Change)
    assert (change.op, change.key, change.committed_us) == ("u", ("o1", 1), 5)
    assert msgspec.to_builtins(change.row) == ITEM


def test_a_delete_and_a_tombstone_carry_the_key_alone() -> None:
    assert codec(ORDER_ITEMS).decode(KEY, envelope("d", None), AT).row is None
    assert codec(ORDER_ITEMS).decode(KEY, None, AT) == Change("d", ("o1", 1), None, AT, 0)


def test_a_field_the_contract_does_not_know_is_left_out_and_named() -> None:
    value = envelope("c", {**ITEM, "gift_wrap": True})
    image, unknown = codec(ORDER_ITEMS).decode_known(value)
    assert unknown == ("gift_wrap",)
    assert codec(ORDER_ITEMS).decode(KEY, value, AT).row == image.after


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, envelope("c", ITEM), "no key"),
        (KEY, b"\x00\xff garbage", "malformed"),
        (KEY, b'{"op":"c"', "truncated"),
        (b"\xff", envelope("c", ITEM), "malformed"),
        (KEY, b'{"ts_ms":1}', "missing required field"),
        (KEY, envelope("x", ITEM), "Invalid enum value 'x'"),
        (KEY, envelope("c", None), "without an after-image"),
        (KEY, envelope("t", None), "op t is not a change of a row"),
        (KEY, envelope("m", None), "op m is not a change of a row"),
        (KEY, envelope("c", {**ITEM, "price": "a lot"}), "decimal"),
        (KEY, envelope("c", {**ITEM, "price": "NAN"}), "not a number"),
        (KEY, envelope("c", {**ITEM, "price": "1.234"}), "more than 2 decimals"),
        (KEY, envelope("c", {**ITEM, "order_item_id": 2**31}), "<= 2147483647"),
        (KEY, envelope("c", {**ITEM, "shipping_limit_date": 2**63 - 1}), "$.shipping_limit_date"),
        (KEY, envelope("c", {**ITEM, "seller_id": None}), "Expected `str`, got `null`"),
        (KEY, envelope("c", {k: v for k, v in ITEM.items() if k != "price"}), "missing required field `price`"),
        (KEY, envelope("c", {**ITEM, "order_id": "other"}), "the key says"),
        (KEY, envelope("c", {**ITEM, "seller_id": UNAVAILABLE}), "REPLICA IDENTITY FULL"),
    ],
)
def test_malformed_input_is_a_bad_record_with_its_place_and_reason(
    key: bytes | None, value: bytes | None, reason: str
) -> None:
    with pytest.raises(BadRecord) as refused:
        codec(ORDER_ITEMS).decode(key, value, AT)
    assert str(refused.value).startswith("olist.public.order_items[3]@17: ")
    assert reason in refused.value.reason


@given(st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_arbitrary_bytes_decode_or_are_bad_records_and_never_raise_anything_else(
    key: bytes, value: bytes | None
) -> None:
    with contextlib.suppress(BadRecord):
        assert codec(ORDER_REVIEWS).decode(key, value, AT).position == AT


@given(st.text(), st.text())
def test_a_composite_key_of_any_text_survives_the_wire(review: str, order: str) -> None:
    # Lone surrogates are no text that UTF-8, and so the wire, can carry.
    ids = tuple(text.encode("utf-8", "replace").decode() for text in (review, order))
    assert codec(ORDER_REVIEWS).decode_key(codec(ORDER_REVIEWS).encode_key(ids)) == ids
