"""Messages that a Debezium wrote long ago, beside the same ones written now: the same shapes, and we decode both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from olist.batches import decode_batch
from olist.contracts import Contract
from olist.stack.local import Stack
from olist.tables import ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS, ORDERS, TABLES
from tests.records import FakeRecord
from tests.shops import CapturedShop, records, shop_settings

pytestmark = pytest.mark.integration

RECORDED = Path(__file__).parents[3] / "shared" / "recorded"
DAY = "2018-01-02 12:00:00"
Shape = Any
Message = tuple[str, str | None, str | None]  # table, key, value

# What is done to the shop for each file that was recorded; the tables' rows are made before.
DONE: dict[str, tuple[Contract, tuple[str, ...]]] = {
    "create_c": (ORDER_ITEMS, ("insert into order_items values ('o', 2, 'p', 's', '2018-01-03', 39.99, 6.72)",)),
    "update_full_identity": (ORDERS, ("update orders set order_status = 'approved'",)),
    "delete_and_tombstone_full_identity": (ORDERS, ("delete from orders where order_id = 'alone'",)),
    "delete_and_tombstone_default_identity": (ORDER_PAYMENTS, ("delete from order_payments",)),
    "primary_key_update_full_identity": (ORDERS, ("update orders set order_id = 'moved' where order_id = 'alone'",)),
    "toast_unchanged_full_identity": (ORDER_REVIEWS, ("update order_reviews set review_score = 2",)),
    "update_default_identity": (ORDER_ITEMS, ("update order_items set price = 1.50",)),
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
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
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


@pytest.mark.parametrize("name", DONE)
def test_debezium_writes_what_it_wrote_when_the_messages_were_recorded(shop: CapturedShop, name: str) -> None:
    contract, statements = DONE[name]
    old = [message for message in recorded(name) if message[0] == contract.table]
    shop.run("truncate orders, customers, sellers, products cascade", *ROWS)
    shop.wait()
    before = written(shop, contract)
    shop.run(*statements)
    shop.wait()
    new = [message for at, message in written(shop, contract).items() if at not in before]
    assert {repr(frame_of(message)) for message in new} >= {repr(frame_of(message)) for message in old}
    known = kinds_of(new, contract)
    assert all(known.get(column, kind) == kind for column, kind in kinds_of(old, contract).items())


def kinds_of(messages: list[Message], contract: Contract) -> dict[str, str]:
    found: dict[str, str] = {}
    for message in messages:
        found |= kinds(message, contract)
    return found


READABLE = (
    "snapshot_r",
    "incremental_snapshot_r",
    "incremental_snapshot_filtered_r",
    *DONE,
    "update_same_key_many_in_one_tx_and_noop",
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
        mine = [FakeRecord(_bytes(key), _bytes(value)) for table, key, value in messages if table == contract.table]
        found = decode_batch(contract, contract.table, mine)
        assert found.frame.height + len(found.rejected) == len(mine)
        assert not found.rejected, str(found.rejected[0].error)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("toast_unchanged_default_identity", "REPLICA IDENTITY FULL|unknown"), ("truncate_t", "no key")],
)
def test_what_is_no_row_is_rejected_with_its_reason(name: str, reason: str) -> None:
    rejected = [
        found.error.reason
        for contract in TABLES.values()
        for found in decode_batch(
            contract,
            contract.table,
            [FakeRecord(_bytes(key), _bytes(value)) for table, key, value in recorded(name) if table == contract.table],
        ).rejected
    ]
    if name == "truncate_t":
        assert any(reason in told for told in rejected)
    else:
        assert rejected == []  # the long column that was not captured is not one that the contract knows


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
