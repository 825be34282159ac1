"""What the apps' benchmark writes and how it reads ages off."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice

import msgspec
import pytest

from benchmarks.app_inputs import PRICELESS_EVERY, Made, Shop
from benchmarks.app_run import Cost, ages_ms
from olist.changes import codec
from olist.order_status import DELIVERED, may_move
from olist.tables import ORDERS, Order, OrderItem, OrderReview

ORDER = Order("o", "c", DELIVERED, 1, 2, 3, 4, 5)
ITEM = OrderItem("o", 1, "p", "s", 6, Decimal("9.90"), Decimal("1.00"))
REVIEW = OrderReview("r", "o", 5, None, None, 7, None)


def made(count: int) -> list[Made]:
    shop = Shop([ORDER], {"o": ITEM}, [REVIEW], now_us=1_000_000)
    found = []
    for change in islice(shop.changes(), count):
        found.append(change)
        shop.now_us += 1
    return found


def test_every_change_is_a_row_of_its_contract() -> None:
    for contract, _before, after in made(2000):
        assert codec(contract).image.decode(
            msgspec.json.encode({"op": "c", "source": {"ts_ms": 1}, "after": after})
        ).after == after  # fmt: skip


def test_orders_only_move_as_orders_may_and_begin_where_the_last_change_left_them() -> None:
    there: dict[str, Order] = {}
    steps = 0
    for contract, before, after in made(3000):
        if contract is ORDERS:
            assert isinstance(after, Order)
            assert before == there.get(after.order_id)
            if isinstance(before, Order):
                assert may_move(before.order_status, after.order_status)
                steps += 1
            there[after.order_id] = after
    assert steps > 1000
    assert any(order.order_status == DELIVERED for order in there.values())


def test_some_items_cost_nothing_and_reviews_are_of_delivered_orders() -> None:
    delivered, prices = set(), []
    for _contract, _before, after in made(3000):
        match after:
            case Order() if after.order_status == DELIVERED:
                delivered.add(after.order_id)
            case OrderItem():
                prices.append(after.price)
            case OrderReview():
                assert after.order_id in delivered
    assert 0 < sum(price == 0 for price in prices) <= len(prices) / PRICELESS_EVERY + len(prices) / 10


def test_a_row_is_as_old_as_its_own_change_and_other_rows_do_not_count() -> None:
    assert ages_ms([(10, 5_000), (11, 7_500), (99, 1)], {10: 4_000, 11: 4_500}) == [1.0, 3.0]


def test_cost_is_cpu_per_record() -> None:
    cost = Cost(records=1000, rows=1, wall_s=9.0, cpu_s=0.5, idle_cores=0.1, state_bytes=None, memory_bytes=1)
    assert cost.micros == pytest.approx(500)
