"""Rows that the real orders do not have, or not so that one sees what the marts make of them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    CUSTOMERS,
    GEOLOCATION,
    ORDER_ITEMS,
    ORDER_PAYMENTS,
    ORDER_REVIEWS,
    ORDERS,
    PRODUCTS,
    SELLERS,
    CategoryTranslation,
    Customer,
    Geolocation,
    Order,
    OrderItem,
    OrderPayment,
    Product,
    Seller,
)
from sinks.postgres.marts.apply import apply
from tests.marts import ask, own_warehouse, write, write_none

pytestmark = pytest.mark.integration

BOUGHT = 1_500_000_000_000_000  # 2017-07-14 02:40
HOUR = 3_600_000_000


def order(order_id: str = "o1", customer_id: str = "c1", bought: int = BOUGHT) -> Order:
    return Order(order_id, customer_id, "created", bought, None, None, None, bought + 240 * HOUR)


@pytest.fixture
def marts(stack: Stack) -> Iterator[Settings]:
    """A warehouse of this test's own with empty tables, the views applied."""
    with own_warehouse(stack.settings) as settings:
        write_none(settings)
        apply(settings)
        yield settings


def test_a_deleted_row_is_in_no_view(marts: Settings) -> None:
    item = OrderItem("o1", 1, "p1", "s1", BOUGHT, Decimal("5.00"), Decimal("1.00"))
    written = {
        ORDERS: order(),
        CUSTOMERS: Customer("c1", "u1", "01001", "sao paulo", "SP"),
        ORDER_ITEMS: item,
    }
    for contract, row in written.items():
        write(marts, contract, [row])
    assert ask(marts, "SELECT order_id, item_count, order_total FROM mart.fact_orders") == [("o1", 1, Decimal("6.00"))]
    write(marts, ORDER_ITEMS, [item], op="d")
    assert ask(marts, "SELECT count(*) FROM mart.fact_order_items") == [(0,)]
    assert ask(marts, "SELECT order_id, item_count, order_total FROM mart.fact_orders") == [("o1", 0, Decimal("0.00"))]
    write(marts, ORDERS, [written[ORDERS]], op="d")
    assert ask(marts, "SELECT count(*) FROM mart.fact_orders") == [(0,)]
    assert ask(marts, "SELECT customer_unique_id, order_count, last_order_date FROM mart.dim_customer") == [
        ("u1", 0, None)
    ]


def test_a_fact_whose_order_has_not_arrived_is_there_without_its_keys(marts: Settings) -> None:
    write(marts, ORDER_PAYMENTS, [OrderPayment("o1", 1, "voucher", 1, Decimal("7.50"))])
    query = "SELECT payment_value, customer_unique_id, purchase_date::text FROM mart.fact_payments"
    assert ask(marts, query) == [(Decimal("7.50"), None, None)]
    write(marts, ORDERS, [order()])
    write(marts, CUSTOMERS, [Customer("c1", "u1", "01001", "sao paulo", "SP")])
    assert ask(marts, query) == [(Decimal("7.50"), "u1", "2017-07-14")]


def test_a_persons_address_is_that_of_the_latest_order(marts: Settings) -> None:
    addresses = [
        ("c1", "01001", "sao paulo", "SP"),
        ("c2", "20000", "rio de janeiro", "RJ"),
        ("c3", "30000", "bh", "MG"),
    ]
    write(marts, CUSTOMERS, [Customer(name, "u1", *address) for name, *address in addresses])
    bought = {"c1": BOUGHT + HOUR, "c2": BOUGHT + 2 * HOUR, "c3": BOUGHT}
    write(marts, ORDERS, [order(f"o{name}", name, at) for name, at in bought.items()])
    query = "SELECT city, state, address_count, order_count FROM mart.dim_customer"
    assert ask(marts, query) == [("rio de janeiro", "RJ", 3, 3)]


def test_of_two_orders_at_one_moment_the_higher_customer_id_says_the_address(marts: Settings) -> None:
    cities = {"c1": "santos", "c3": "bauru", "c2": "osasco"}
    write(marts, CUSTOMERS, [Customer(name, "u1", "01001", city, "SP") for name, city in cities.items()])
    write(marts, ORDERS, [order(f"o{name}", name) for name in cities])
    assert ask(marts, "SELECT city FROM mart.dim_customer") == [("bauru",)]


def test_a_place_that_geolocation_lacks_is_what_most_call_it(marts: Settings) -> None:
    write(marts, GEOLOCATION, [Geolocation("01001", -23.5, -46.6, "sao paulo", "SP")])
    most, tie = ("zeta", "alfa", "zeta"), ("beta", "alfa")
    named = [("01001", "elsewhere"), *(("77777", city) for city in most), *(("88888", city) for city in tie)]
    write(
        marts,
        CUSTOMERS,
        [Customer(f"c{n}", f"u{n}", prefix, city, "SP") for n, (prefix, city) in enumerate(named)],
    )
    write(marts, SELLERS, [Seller("s1", "99999", "gama", "RJ")])
    assert ask(marts, "SELECT zip_code_prefix, city, state, latitude FROM mart.dim_place ORDER BY 1") == [
        ("01001", "sao paulo", "SP", -23.5),
        ("77777", "zeta", "SP", None),
        ("88888", "alfa", "SP", None),
        ("99999", "gama", "RJ", None),
    ]


def test_a_product_without_category_or_translation_has_a_name_to_group_by(marts: Settings) -> None:
    sizes = (None,) * 7
    products = [Product(f"p{n}", category, *sizes) for n, category in enumerate((None, "pc_gamer", "artes"))]
    write(marts, PRODUCTS, products)
    write(marts, CATEGORY_TRANSLATIONS, [CategoryTranslation("artes", "art")])
    assert ask(marts, "SELECT category, category_portuguese, category_english FROM mart.dim_product ORDER BY 1") == [
        ("art", "artes", "art"),
        ("pc_gamer", "pc_gamer", None),
        ("uncategorised", None, None),
    ]


def test_an_empty_warehouse_has_no_dates(marts: Settings) -> None:
    assert ask(marts, f"SELECT count(*) FROM warehouse.{ORDER_REVIEWS.table}") == [(0,)]
    assert ask(marts, "SELECT count(*) FROM mart.dim_date") == [(0,)]
