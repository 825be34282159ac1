"""Messages that a Debezium wrote long ago, beside the same ones written now: the same shapes, and we decode both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connect.capture import ask_for_snapshot
from olist.batches import Batch, decode_batch
from olist.clients.shop import HEARTBEAT
from olist.contracts import Contract, Int, Micros, Price, Row
from olist.source.typed import ColumnNames
from olist.stack.local import Stack
from olist.tables import ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS, ORDERS, TABLES
from tests.records import FakeRecord
from tests.shops import CapturedShop, records, shop_settings

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[3] / "shared" / "recorded"
EPOCH = datetime(1970, 1, 1)
DAY = "2018-01-02 12:00:00"
Shape = Any
Message = tuple[str, str | None, str | None]  # table, key, value

AN_ORDER = f"insert into orders values ('new', 'c', 'created', '{DAY}', null, null, null, '{DAY}')"
ORDER = ColumnNames(ORDERS)
TIMES = (ORDER.order_purchase_timestamp, ORDER.order_approved_at, ORDER.order_delivered_carrier_date)


def says(*statements: str) -> Callable[[CapturedShop], None]:
    return lambda shop: shop.run(*statements)


def reads_again(contract: Contract) -> Callable[[CapturedShop], None]:
    def ask(shop: CapturedShop) -> None:
        ask_for_snapshot(shop.settings, [contract])
        shop.wait_for_snapshot()

    return ask


# What is done to the shop for each file that was recorded; the tables' rows are made before.
DONE: dict[str, tuple[Contract, Callable[[CapturedShop], None]]] = {
    "create_c": (ORDER_ITEMS, says("insert into order_items values ('o', 2, 'p', 's', '2018-01-03', 39.99, 6.72)")),
    "update_full_identity": (ORDERS, says("update orders set order_status = 'approved'")),
    "delete_and_tombstone_full_identity": (ORDERS, says("delete from orders where order_id = 'alone'")),
    "delete_and_tombstone_default_identity": (ORDER_PAYMENTS, says("delete from order_payments")),
    "primary_key_update_full_identity": (ORDERS, says("update orders set order_id = 'moved' where order_id = 'alone'")),
    "toast_unchanged_full_identity": (ORDER_REVIEWS, says("update order_reviews set review_score = 2")),
    "update_default_identity": (ORDER_ITEMS, says("update order_items set price = 1.50")),
    "update_same_key_many_in_one_tx_and_noop": (
        ORDER_ITEMS,
        says(
            f"begin; {'; '.join(f'update order_items set price = {price}' for price in (1, 2, 3))}; commit",
            "update order_items set price = price",
        ),
    ),
    "edge_values": (
        ORDERS,
        says(
            "insert into orders values"
            " ('edge-1', 'c', '', 'infinity', '-infinity', '0044-03-15 12:00:00 BC', null, 'infinity'),"
            rf" (E'edge-2 \"q\" ã/\u2028', 'c', '', '1969-12-31 23:59:59.999999', null, null, null, '{DAY}')",
        ),
    ),
    "incremental_snapshot_r": (ORDERS, reads_again(ORDERS)),
    "heartbeat": (
        replace(ORDERS, table=HEARTBEAT),  # read like a table of the shop's
        says(f"insert into {HEARTBEAT} (id) values ('one')", f"update {HEARTBEAT} set beat_at = now()"),
    ),
    # Last: the column stays.
    "after_add_column": (
        ORDERS,
        says("alter table orders add sales_channel text", "update orders set order_status = 'delivered'", AN_ORDER),
    ),
}
# Tables that stand for others: of another name then, or of the identity that today's orders no longer have.
OF_THEN = {
    "delete_and_tombstone_default_identity": ORDER_ITEMS.table,
    "heartbeat": "dbz_heartbeat",
    "update_same_key_many_in_one_tx_and_noop": ORDERS.table,
}
ROWS = (
    "insert into customers values ('c', 'u', '01001', 'são paulo', 'SP')",
    "insert into sellers values ('s', '01001', 'são paulo', 'SP')",
    "insert into products values ('p')",
    f"insert into orders select o, 'c', 'created', '{DAY}', null, null, null, '{DAY}'"
    " from unnest('{o,alone}'::text[]) o",
    "insert into order_items values ('o', 1, 'p', 's', '2018-01-03', 39.99, 6.72)",
    "insert into order_payments values ('o', 1, 'voucher', 1, 10.00)",
    "insert into order_reviews select 'r', 'o', 5, 'Ótimo!', string_agg(md5(n::text), ''), now()::timestamp, null"
    " from generate_series(1, 400) n",
)


@pytest.fixture(scope="module")
def shop(connect_stack: Stack) -> Iterator[CapturedShop]:
    with CapturedShop(shop_settings(connect_stack.settings, "recorded")) as made:
        made.capture()
        yield made


def recorded(name: str) -> list[Message]:
    path = RECORDED / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"no recorded messages at {path}")
    with path.open(encoding="utf-8") as file:  # not `splitlines`: a key has U+2028 in it
        lines = [json.loads(line) for line in file]
    return [(line["topic"].rpartition(".")[2], line["key"], line["value"]) for line in lines]


def written(shop: CapturedShop, contract: Contract) -> dict[tuple[int, int], Message]:
    """By partition and offset."""
    found = sorted(records(shop.settings, contract), key=lambda r: (r.partition(), r.offset()))
    return {(r.partition(), r.offset()): (contract.table, _text(r.key()), _text(r.value())) for r in found}


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode()


def frame_of(message: Message) -> Shape:
    """What is there around the row: every field's name and kind in order, the op, whether the images are there."""
    _table, key, value = message
    if value is None:
        return "tombstone", list(json.loads(key or "{}")) != []
    envelope = json.loads(value)
    images = [envelope[name] is not None for name in ("before", "after")]
    source = {name: type(found).__name__ for name, found in envelope["source"].items()}
    rest = {name: type(found).__name__ for name, found in envelope.items() if name not in ("before", "after", "source")}
    return envelope["op"], images, list(envelope), source, rest


def kinds(message: Message, contract: Contract) -> dict[str, str]:
    """The JSON kind of each of the contract's columns that is not null, in key and after-image."""
    _table, key, value = message
    image = json.loads(value)["after"] if value else None
    row = {**json.loads(key or "{}"), **(image or {})}
    names = [column.name for column in contract.columns]
    return {name: type(row[name]).__name__ for name in names if row.get(name) is not None}


def then_and_now(shop: CapturedShop, name: str) -> tuple[list[Message], list[Message]]:
    """What was recorded, and what the same gives today."""
    contract, do = DONE[name]
    old = [message for message in recorded(name) if message[0] == OF_THEN.get(name, contract.table)]
    shop.run("truncate orders, customers, sellers, products cascade", *ROWS)
    shop.wait()
    before = written(shop, contract)
    do(shop)
    shop.wait()
    return old, [message for at, message in written(shop, contract).items() if at not in before]


@pytest.mark.parametrize("name", DONE)
def test_debezium_writes_what_it_wrote_when_the_messages_were_recorded(shop: CapturedShop, name: str) -> None:
    contract, _do = DONE[name]
    old, new = then_and_now(shop, name)
    assert old
    assert {repr(frame_of(message)) for message in new} >= {repr(frame_of(message)) for message in old}
    known = kinds_of(new, contract)
    assert all(known.get(column, kind) == kind for column, kind in kinds_of(old, contract).items())


def test_every_update_of_a_transaction_is_written_and_one_that_changes_nothing_too(shop: CapturedShop) -> None:
    old, new = then_and_now(shop, "update_same_key_many_in_one_tx_and_noop")
    assert [json.loads(value or "")["op"] for _table, _key, value in new] == ["u"] * len(old)
    prices = [json.loads(value or "")["after"][ColumnNames(ORDER_ITEMS).price] for _table, _key, value in new]
    assert prices == ["1.00", "2.00", "3.00", "3.00"]


def test_odd_keys_and_times_at_the_edges_are_written_as_when_they_were_recorded(shop: CapturedShop) -> None:
    old, new = (after_images(messages) for messages in then_and_now(shop, "edge_values"))
    assert {key: [image[name] for name in TIMES] for key, image in old.items()} == {
        key: [image[name] for name in TIMES] for key, image in new.items()
    }


def after_images(messages: list[Message]) -> dict[str | None, dict[str, Any]]:
    return {key: json.loads(value or "")["after"] for _table, key, value in messages}


def kinds_of(messages: list[Message], contract: Contract) -> dict[str, str]:
    found: dict[str, str] = {}
    for message in messages:
        found |= kinds(message, contract)
    return found


READABLE = (
    "snapshot_r",
    "incremental_snapshot_r",
    "incremental_snapshot_filtered_r",
    "create_c",
    "update_full_identity",
    "update_default_identity",
    "update_same_key_many_in_one_tx_and_noop",
    "delete_and_tombstone_full_identity",
    "delete_and_tombstone_default_identity",
    "primary_key_update_full_identity",
    "primary_key_update_default_identity",
    "toast_changed_default_identity",
    "toast_unchanged_full_identity",
    "after_add_column",
    "after_numeric_scale_change",
)


@pytest.mark.parametrize("name", READABLE)
def test_every_recorded_change_of_a_row_is_decoded_and_what_is_unknown_is_counted(name: str) -> None:
    messages = recorded(name)
    for contract in TABLES.values():
        found = decoded(contract, messages)
        assert found.frame.height + len(found.rejected) == [table for table, *_ in messages].count(contract.table)
        assert not found.rejected, str(found.rejected[0].error)


def test_a_truncate_is_no_row_and_is_rejected_with_its_reason() -> None:
    created, truncated = [message for message in recorded("truncate_t") if message[0] == ORDER_PAYMENTS.table]
    found = decoded(ORDER_PAYMENTS, [created, truncated])
    assert found.frame.height == 1
    assert [rejected.error.reason for rejected in found.rejected] == ["the record has no key"]


def test_a_long_text_that_was_not_captured_is_no_reason_to_reject_a_row_whose_contract_does_not_know_it() -> None:
    found = decoded(ORDER_REVIEWS, recorded("toast_unchanged_default_identity"))
    assert found.frame.height == 1
    assert not found.rejected
    assert dict(found.unknown) == {"raw_page": 1}


def test_a_long_text_of_the_contract_that_was_not_captured_is_rejected_by_its_name() -> None:
    ((table, key, value),) = recorded("toast_unchanged_default_identity")
    known = json.loads(value or "")
    message = ColumnNames(ORDER_REVIEWS).review_comment_message
    known["after"][message] = known["after"].pop("raw_page")
    found = decoded(ORDER_REVIEWS, [(table, key, json.dumps(known))])
    assert [rejected.error.reason for rejected in found.rejected] == [
        f"{message} was not captured; the source table needs REPLICA IDENTITY FULL"
    ]


class Zoo(Row):
    """Of the table that was recorded in every mode, a column of each precision of time, and money."""

    id: Int
    ts_s: Micros
    ts_ms: Micros
    ts_us: Micros
    n2: Price


ZOO = Contract("type_zoo", Zoo, key=("id",))


@pytest.mark.parametrize("mode", ["adaptive", "adaptive_time_microseconds", "connect", "isostring", "nanoseconds"])
def test_times_of_any_precision_but_microseconds_are_refused_by_the_setting_to_change(mode: str) -> None:
    found = decoded(ZOO, recorded(f"time_precision_{mode}"))
    assert found.frame.is_empty()
    assert ["set time.precision.mode=microseconds" in one.error.reason for one in found.rejected] == [True]


def test_times_in_microseconds_are_taken_to_the_microsecond() -> None:
    found = decoded(ZOO, recorded("time_precision_microseconds"))
    times = [1_506_941_793_000_000, 1_506_941_793_123_000, 1_506_941_793_123_456]
    assert found.frame.select("ts_s", "ts_ms", "ts_us").row(0) == tuple(
        EPOCH + timedelta(microseconds=t) for t in times
    )


def decoded(contract: Contract, messages: list[Message]) -> Batch:
    """What a reader makes of the contract's own messages."""
    mine = [FakeRecord(_bytes(key), _bytes(value)) for table, key, value in messages if table == contract.table]
    return decode_batch(contract, contract.table, mine, 1)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
