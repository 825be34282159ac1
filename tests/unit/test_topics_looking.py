from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
import pytest

from olist.changes import Position, codec
from olist.contracts import Contract
from olist.errors import BadInput
from olist.positions import TopicState
from olist.tables import ORDER_ITEMS, ORDERS
from olist.topics.broker import nearest
from olist.topics.record_decoding import Seen, see
from olist.topics.record_format import as_json, line, when
from olist.topics.tail import before_end, clamped, key_bytes, moment, partitions_of
from tests.laws.parcels import PARCELS, parcel
from tests.written import envelope

AT = Position("laws.parcels", 2, 7)
KEY = codec(PARCELS).encode_key(("p1", 1))


class Message:
    """A consumed record."""

    def __init__(self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> None:
        self._key, self._value, self._headers = key, value, headers

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def partition(self) -> int:
        return AT.partition

    def offset(self) -> int:
        return AT.offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_534_540_509_000

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self._headers


def seen(key: bytes | None, value: bytes | None, contract: Contract | None = PARCELS) -> Seen:
    return see(contract, Message(key, value), AT)


def text(one: Seen, contract: Contract | None = PARCELS) -> str:
    return click.unstyle(line(one, contract))


def test_an_update_shows_the_fields_that_changed_old_and_new() -> None:
    one = seen(KEY, envelope(PARCELS, "u", parcel(label="new", arrived_at=0), parcel(label="old")))
    assert one.changed == {"label": ("old", "new"), "arrived_at": (None, 0)}
    assert "label: old -> new, arrived_at: null -> 1970-01-01 00:00:00" in text(one)
    assert "weight_g" not in text(one)


def test_an_update_without_a_before_image_shows_its_row() -> None:
    one = seen(KEY, envelope(PARCELS, "u", parcel(label="new")))
    assert not one.changed
    assert "label=new" in text(one)


def test_a_deletes_before_image_is_never_shown_as_data() -> None:
    one = seen(KEY, envelope(PARCELS, "d", None, parcel(label="made up")))
    assert one.op == "d"
    assert "made up" not in text(one) + as_json(one, PARCELS)
    assert "parcel_id=p1,leg=1" in text(one)


def test_a_tombstone_is_called_one() -> None:
    assert seen(KEY, None).op == "tombstone"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (KEY, b"\xff\x00garbage", "JSON is malformed"),
        (None, b"{}", "no key"),
        (b"plain", None, "JSON is malformed"),
        (codec(PARCELS).encode_key(("other", 1)), envelope(PARCELS, "c", parcel()), "the key says"),
    ],
)
def test_a_bad_record_is_shown_with_its_reason(key: bytes | None, value: bytes | None, reason: str) -> None:
    one = seen(key, value)
    assert one.op == "bad"
    assert reason in text(one)
    assert reason in json.loads(as_json(one, PARCELS))["reason"]


def test_a_field_that_the_contract_does_not_know_is_marked() -> None:
    value = msgspec.json.decode(envelope(PARCELS, "c", parcel()))
    value["after"]["colour"] = "red"
    one = seen(KEY, msgspec.json.encode(value))
    assert one.unknown == ("colour",)
    assert "unknown colour='red'" in text(one)


@pytest.mark.parametrize("contract", [PARCELS, None])
def test_an_update_of_a_debezium_before_2_6_shows_what_changed(contract: Contract | None) -> None:
    value = msgspec.json.decode(envelope(PARCELS, "u", parcel(label="new"), parcel(label="old"), at_s=7))
    for name in ("ts_us", "ts_ns"):
        del value["source"][name]
    one = seen(KEY, msgspec.json.encode(value), contract)
    assert one.changed == {"label": ("old", "new")}
    assert one.committed_us == 7_000_000


def test_a_value_with_only_what_readers_need_is_still_shown() -> None:
    value = msgspec.json.decode(envelope(PARCELS, "c", parcel(label="short")))
    value["source"] = {"ts_ms": 1}
    assert "label=short" in text(seen(KEY, msgspec.json.encode(value)))


@pytest.mark.parametrize(
    ("value", "op", "shown"),
    [
        (b'{"a": 1}', "row", "a=1"),
        (b"just text", "bytes", "just text"),
        (b"\xfe", "bytes", "\\xfe"),
        (None, "tombstone", "k"),
        (envelope(PARCELS, "c", parcel()), "c", "label=plain"),
    ],
)
def test_a_topic_without_a_contract_is_shown_as_far_as_it_goes(value: bytes | None, op: str, shown: str) -> None:
    one = seen(b"k", value, None)
    assert one.op == op
    assert shown in text(one, None)


def test_a_text_that_would_break_the_line_or_look_like_nothing_is_quoted() -> None:
    shown = text(seen(KEY, envelope(PARCELS, "c", parcel(label="a\r\nb", note=""))))
    assert "label='a\\r\\nb'" in shown
    assert "note=''" in shown
    assert "\n" not in shown


HOSTILE = "\x1b[2J\r\n\x9b31m\u202eabc"


@pytest.mark.parametrize("contract", [PARCELS, None])
def test_what_a_record_holds_is_shown_and_not_obeyed(contract: Contract | None) -> None:
    row = parcel(label=HOSTILE)
    records = [
        Message(HOSTILE.encode(), HOSTILE.encode(), [(HOSTILE, HOSTILE.encode())]),
        Message(msgspec.json.encode({HOSTILE: HOSTILE}), msgspec.json.encode({HOSTILE: HOSTILE})),
        Message(KEY, envelope(PARCELS, "u", row, parcel())),
        Message(KEY, msgspec.json.encode({"op": HOSTILE, "source": {"ts_ms": 1}, "after": {HOSTILE: HOSTILE}})),
        Message(KEY, envelope(PARCELS, "c", row).replace(b'"label"', msgspec.json.encode(HOSTILE))),
    ]
    for record in records:
        one = see(contract, record, AT)
        assert text(one, contract).isprintable()
        assert as_json(one, contract).isprintable()
        json.loads(as_json(one, contract))


def test_a_time_in_microseconds_is_shown_as_the_number_that_it_is() -> None:
    assert when(1_534_540_509_000) == "2018-08-17T21:15:09Z"
    assert when(1_534_540_509_000_000) == "1534540509000000 ms"
    assert when(2**63 - 1) == f"{2**63 - 1} ms"
    assert when(-1) == "-"


def test_json_is_one_line_with_readable_moments_and_exact_money() -> None:
    told = as_json(seen(KEY, envelope(PARCELS, "c", parcel())), PARCELS)
    assert "\n" not in told
    row = json.loads(told)["row"]
    assert (row["sent_at"], row["price"]) == ("2017-07-14 02:40:00", "10.50")


NOW = datetime(2018, 8, 17, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("10m", "2018-08-17T11:50:00+00:00"),
        ("2h", "2018-08-17T10:00:00+00:00"),
        ("1d", "2018-08-16T12:00:00+00:00"),
        ("2018-08-01", "2018-08-01T00:00:00+00:00"),
        ("2018-08-01T10:00:00-03:00", "2018-08-01T10:00:00-03:00"),
    ],
)
def test_times_are_ago_or_iso(said: str, meant: str) -> None:
    assert moment(said, NOW).isoformat() == meant


@pytest.mark.parametrize("said", ["", "10", "10x", "yesterday", f"{10**12}d", "9" * 5000 + "m"])
def test_what_is_no_time_is_refused(said: str) -> None:
    with pytest.raises(BadInput):
        moment(said, NOW)


STATE = TopicState("t", "id", {0: 5, 1: 0}, {0: 10, 1: 3})


def test_a_beginning_stays_within_what_is_there() -> None:
    assert before_end(STATE, [0, 1], 4) == {0: 6, 1: 0}
    assert clamped(STATE, {0: 0, 1: 99}) == {0: 5, 1: 3}


def test_a_partition_that_is_not_there_is_refused() -> None:
    assert partitions_of(STATE, None) == [0, 1]
    with pytest.raises(BadInput, match="no partition 2"):
        partitions_of(STATE, 2)


@pytest.mark.parametrize(
    ("said", "contract", "key"),
    [
        ("9f1c0a", ORDERS, b'{"order_id":"9f1c0a"}'),
        ("10", ORDERS, b'{"order_id":"10"}'),
        ('{"order_id": "a", "order_item_id": 1}', ORDER_ITEMS, b'{"order_id":"a","order_item_id":1}'),
        ('{"order_item_id": 1, "order_id": "a"}', ORDER_ITEMS, b'{"order_id":"a","order_item_id":1}'),
        ("anything", None, b"anything"),
    ],
)
def test_a_key_is_its_plain_value_or_json_of_its_columns(said: str, contract: Contract | None, key: bytes) -> None:
    assert key_bytes(said, contract) == key


@pytest.mark.parametrize("said", ["a", '{"order_id": "a"}', "{broken"])
def test_a_key_that_is_none_is_refused_with_a_way_out(said: str) -> None:
    with pytest.raises(BadInput) as caught:
        key_bytes(said, ORDER_ITEMS)
    assert caught.value.hint


def test_a_misspelt_topic_or_table_is_answered_with_the_nearest() -> None:
    names: list[Any] = ["shop.orders", "shop.sellers"]
    assert nearest("ordrs", names, "shop") == ["shop.orders"]
    assert nearest("shop.seller", names, "shop")[0] == "shop.sellers"
    assert nearest("zzz", names, "shop") == []
