"""The one order of all changes: event time, then parents before children, the same on every run."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from olist.contracts import Contract, Row
from olist.source import iter_rows, read
from olist.tables import (
    CUSTOMERS,
    ORDER_ITEMS,
    ORDER_PAYMENTS,
    ORDER_REVIEWS,
    ORDERS,
    PRODUCTS,
    SELLERS,
    TABLES,
    Order,
    OrderItem,
    OrderReview,
)
from producers.row_histories import EVENT_US, PREVIOUS_STAGE, STAGE, history_of
from producers.sequence import SEQ, TABLE, TX, sequence
from tests.unit.producers_dataset import at, files, small_shop, write_folder

Frames = dict[str, pl.DataFrame]


@pytest.fixture
def frames(tmp_path: Path) -> Frames:
    return read(write_folder(tmp_path, files(small_shop())))


def told(frames: Frames, changes: pl.DataFrame) -> list[tuple[Contract, Row]]:
    """Each change's table and the row after it."""
    rows: dict[int, tuple[Contract, Row]] = {}
    for index, contract in enumerate(TABLES.values()):
        mine = changes.filter(pl.col(TABLE) == index)
        images = history_of(contract).images(frames[contract.table], mine)
        rows.update((seq, (contract, row)) for seq, row in zip(mine[SEQ], iter_rows(contract, images), strict=True))
    return [rows[seq] for seq in changes[SEQ]]


def test_numbers_count_from_one_and_times_never_decrease(frames: Frames) -> None:
    changes = sequence(frames)
    assert changes[SEQ].to_list() == list(range(1, changes.height + 1))
    assert changes[EVENT_US].is_sorted()
    assert changes[TX].is_sorted()


def test_every_row_of_every_file_is_created_once_and_ends_as_it_is(frames: Frames) -> None:
    changes = sequence(frames)
    for index, contract in enumerate(TABLES.values()):
        mine = changes.filter(pl.col(TABLE) == index)
        assert mine[PREVIOUS_STAGE].is_null().sum() == frames[contract.table].height
        last = mine.group_by("row", maintain_order=True).last().sort("row")
        assert history_of(contract).images(frames[contract.table], last).equals(frames[contract.table])


def test_parents_come_before_children(frames: Frames) -> None:
    seen: set[tuple[str, object]] = set()
    for contract, row in told(frames, sequence(frames)):
        if isinstance(row, Order):
            assert (CUSTOMERS.table, row.customer_id) in seen
        if isinstance(row, OrderItem):
            assert {(ORDERS.table, row.order_id), (PRODUCTS.table, row.product_id)} <= seen
            assert (SELLERS.table, row.seller_id) in seen
        if isinstance(row, OrderReview):
            assert (ORDERS.table, row.order_id) in seen
        seen.add((contract.table, getattr(row, contract.key[0])))


def test_an_order_its_parents_items_and_payments_are_one_transaction(frames: Frames) -> None:
    changes = sequence(frames)
    of_order = changes.filter(pl.col(EVENT_US) == at(0), pl.col(TX) == 2)
    assert [contract for contract, _row in told(frames, of_order)] == [
        CUSTOMERS,
        SELLERS,
        PRODUCTS,
        ORDERS,
        ORDER_ITEMS,
        ORDER_PAYMENTS,
    ]


def test_each_later_change_is_a_transaction_of_its_own(frames: Frames) -> None:
    changes = sequence(frames)
    later = changes.filter((pl.col(STAGE) > 0) | (pl.col(TABLE) == list(TABLES).index(ORDER_REVIEWS.table)))
    assert later[TX].is_unique().all()
    assert not set(later[TX]) & set(changes.join(later, on=SEQ, how="anti")[TX])


def test_what_no_order_needs_is_there_from_the_opening(frames: Frames) -> None:
    changes = sequence(frames)
    opening = told(frames, changes.filter(pl.col(TX) == 1))
    assert [row.seller_id for contract, row in opening if contract is SELLERS] == ["s1"]  # type: ignore[attr-defined]
    assert changes[EVENT_US][0] == at(0)


def test_a_row_whose_order_is_missing_still_appears(tmp_path: Path) -> None:
    shop = small_shop()
    del shop[ORDERS.table][0]
    frames = read(write_folder(tmp_path, files(shop)))
    changes = sequence(frames)
    assert changes.filter(pl.col(PREVIOUS_STAGE).is_null()).height == sum(f.height for f in frames.values())


def test_a_data_set_without_orders_is_a_catalogue(tmp_path: Path) -> None:
    shop = small_shop()
    for contract in (ORDERS, ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS):
        shop[contract.table] = []
    frames = read(write_folder(tmp_path, files(shop)))
    assert set(sequence(frames)[TX]) == {1}
