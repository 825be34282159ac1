"""Records as other connectors, or other settings of ours, spell them: refused by name, or taken exactly."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest

from olist.batches import COMMITTED_AT, Batch, decode_batch
from olist.changes import Position, codec
from olist.contracts import Contract, Micros, Near1970, Row, Str
from olist.errors import BadRecord
from olist.tables import CUSTOMERS, ORDER_ITEMS
from tests.records import ITEM, FakeRecord

DAY_US = 86_400_000_000
COMMITTED_US = 1_600_000_000_000_000
KEY = {"order_id": "o", "order_item_id": 1}


class Person(Row):
    """Two times, declared alike but for the days that they may be."""

    person_id: Str
    born_at: Annotated[Micros, Near1970()]
    joined_at: Micros


PEOPLE = Contract("people", Person, key=("person_id",))

SCHEMA = {"type": "struct", "optional": False}


def envelope(row: dict[str, Any], committed_us: int = COMMITTED_US) -> dict[str, Any]:
    source = {"connector": "postgresql", "ts_ms": committed_us // 1000, "ts_us": committed_us}
    return {"before": None, "after": row, "source": source, "op": "c", "ts_ms": committed_us // 1000}


def decoded(value: object, key: object = KEY, contract: Contract = ORDER_ITEMS) -> Batch:
    """What every reader makes of one record; the batch and the single decoder must agree."""
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    record = FakeRecord(json.dumps(key, separators=(",", ":")).encode(), raw)
    batch = decode_batch(contract, "t", [record], 1)
    assert [one.error.reason for one in batch.rejected] == alone(contract, record)
    return batch


def alone(contract: Contract, record: FakeRecord) -> list[str]:
    """Why the decoder of single records refuses it."""
    try:
        codec(contract).decode(record.key(), record.value(), Position("t", 0, 0), 1)
    except BadRecord as error:
        return [error.reason]
    return []


def reason(value: object, key: object = KEY, contract: Contract = ORDER_ITEMS) -> str:
    batch = decoded(value, key, contract)
    assert batch.frame.is_empty()
    return batch.rejected[0].error.reason


def test_what_our_own_connector_writes_is_taken() -> None:
    assert decoded(envelope(ITEM)).frame.height == 1


def test_an_envelope_with_its_schema_is_refused_by_the_setting_that_takes_it_off() -> None:
    assert "set value.converter.schemas.enable=false" in reason({"schema": SCHEMA, "payload": envelope(ITEM)})
    assert "set key.converter.schemas.enable=false" in reason(envelope(ITEM), {"schema": SCHEMA, "payload": KEY})


def test_a_row_without_its_envelope_is_refused_by_the_transform_that_unwrapped_it() -> None:
    assert "ExtractNewRecordState" in reason(ITEM)
    assert "ExtractNewRecordState" in reason(ITEM | {"op": "c", "source": {"ts_ms": 1}, "__deleted": "false"})


def test_avro_is_refused_by_the_converter_to_set() -> None:
    assert "set value.converter=org.apache.kafka.connect.json.JsonConverter" in reason(b"\0\0\0\0\x05\x02o\x02")


@pytest.mark.parametrize(
    "price",
    [
        "BBo=",  # 10.50 in decimal.handling.mode=precise
        "D0JA",
        {"scale": 2, "value": "BBo="},  # a numeric without a scale
    ],
)
def test_an_amount_in_base64_is_refused_by_the_setting_that_spells_it(price: object) -> None:
    assert "set decimal.handling.mode=string" in reason(envelope(ITEM | {"price": price}))


@pytest.mark.parametrize("price", ["1000", "1E+3", "12E4", "+123", "00000001"])
def test_base64_that_reads_as_a_number_is_never_taken_for_one(price: str) -> None:
    assert f'price is "{price}", which may be base64' in reason(envelope(ITEM | {"price": price}))


@pytest.mark.parametrize(
    ("price", "taken"),
    [
        ("1000.00", "1000.00"),
        ("10", "10.00"),
        (39.99, "39.99"),
        (1000, "1000.00"),
        (1e7, "10000000.00"),
        ("1E1", "10.00"),
    ],
)
def test_an_amount_that_can_be_but_one_is_taken_exactly(price: object, taken: str) -> None:
    assert str(decoded(envelope(ITEM | {"price": price})).frame["price"][0]) == taken


@pytest.mark.parametrize(
    "time",
    [
        1_506_941_793_000,  # milliseconds: time.precision.mode=connect, and adaptive for timestamp(3)
        1_506_941_793_000_000_000,  # nanoseconds
        "2017-10-02T10:56:33Z",  # isostring
        -86_400_000,
        1,
    ],
)
def test_a_time_of_another_precision_is_refused_by_the_setting_that_spells_it(time: object) -> None:
    assert "set time.precision.mode=microseconds" in reason(envelope(ITEM | {"shipping_limit_date": time}))


@pytest.mark.parametrize("time", [0, 60 * DAY_US, -60 * DAY_US, -62_000_000_000_000_000])
def test_a_time_that_can_be_but_one_is_taken(time: int) -> None:
    assert decoded(envelope(ITEM | {"shipping_limit_date": time})).frame.height == 1


@pytest.mark.parametrize("amount", ["POSITIVE_INFINITY", "Infinity", "-Infinity"])
def test_no_setting_is_named_for_an_amount_that_is_no_number(amount: str) -> None:
    assert "decimal.handling.mode" not in reason(envelope(ITEM | {"price": amount}))


def test_a_column_that_says_so_holds_times_of_early_1970_and_its_neighbour_does_not() -> None:
    person = {"person_id": "a", "born_at": DAY_US, "joined_at": COMMITTED_US}
    assert decoded(envelope(person), {"person_id": "a"}, PEOPLE).frame.height == 1
    assert "joined_at" in reason(envelope(person | {"joined_at": DAY_US}), {"person_id": "a"}, PEOPLE)


def test_a_time_of_early_1970_is_taken_of_a_change_that_is_as_old() -> None:
    assert decoded(envelope(ITEM | {"shipping_limit_date": DAY_US}, committed_us=2 * DAY_US)).frame.height == 1


def test_of_a_change_that_does_not_say_when_it_was_committed_such_a_time_is_refused() -> None:
    assert "early 1970" in reason(envelope(ITEM | {"shipping_limit_date": DAY_US}, committed_us=0))


def test_an_envelope_from_before_sources_knew_microseconds_has_the_milliseconds_time() -> None:
    old = envelope(ITEM)
    del old["source"]["ts_us"]
    assert decoded(old).frame[COMMITTED_AT].to_physical().to_list() == [COMMITTED_US]


def test_a_missing_column_alone_is_no_reason_to_speak_of_settings() -> None:
    row = {"customer_id": "c"}
    assert reason(envelope(row), row, CUSTOMERS).startswith("Object missing required field")
    assert "set " not in reason(envelope(row), row, CUSTOMERS)
