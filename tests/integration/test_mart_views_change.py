"""Applying the marts, and what becomes of them when the tables below change."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any
from uuid import uuid4

import psycopg
import pytest

from olist.contracts import Long, Money, Row, Str
from olist.errors import Stopped
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
    TABLES,
    CategoryTranslation,
    Customer,
    Geolocation,
    Order,
    OrderItem,
    OrderPayment,
    Product,
    Seller,
)
from sinks.postgres.marts.apply import apply, drop, planned
from sinks.postgres.table import PostgresTable
from tests.mart_oracle import ORACLES
from tests.marts import own_warehouse, write

pytestmark = pytest.mark.integration

BOUGHT = 1_500_000_000_000_000  # 2017-07-14 02:40
HOUR = 3_600_000_000
PAYMENT = OrderPayment("o1", 1, "voucher", 1, Decimal("7.50"))


class WiderPayment(Row):
    """With wider columns, all of which views read."""

    order_id: Str
    payment_sequential: Long
    payment_type: Str
    payment_installments: Long
    payment_value: Annotated[Decimal, Money(18, 2)]


class PaymentWithMore(Row):
    """With an optional column."""

    order_id: Str
    payment_sequential: Long
    payment_type: Str
    payment_installments: Long
    payment_value: Annotated[Decimal, Money(18, 2)]
    payment_provider: Str | None = None


def order(order_id: str = "o1", customer_id: str = "c1", bought: int = BOUGHT) -> Order:
    return Order(order_id, customer_id, "created", bought, None, None, None, bought + 240 * HOUR)


@pytest.fixture
def warehouse(stack: Stack) -> Iterator[Settings]:
    """A database of this test's own, empty."""
    with own_warehouse(stack.settings) as settings:
        yield settings


@pytest.fixture
def reader(stack: Stack) -> Iterator[str]:
    """A role; asked for before the warehouse, so that it goes when that is gone with what it was granted there."""
    name = f"reader_{uuid4().hex[:8]}"
    ask(stack.settings, f"CREATE ROLE {name}")
    yield name
    ask(stack.settings, f"DROP ROLE {name}")


@pytest.fixture
def tables(warehouse: Settings) -> Settings:
    """Every table of the shop, with one payment."""
    for contract in TABLES.values():
        write(warehouse, contract, [PAYMENT] if contract is ORDER_PAYMENTS else [])
    return warehouse


@pytest.fixture
def marts(tables: Settings) -> Settings:
    """With the views applied."""
    apply(tables)
    return tables


def ask(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(settings.postgres_url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def states(settings: Settings) -> dict[str, str]:
    """Of the views over the shop's own tables."""
    return {one.view.name: one.state for one in planned(settings) if one.view.name in ORACLES}


def all_are(state: str) -> dict[str, str]:
    return dict.fromkeys(ORACLES, state)


def olist(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from olist.cli.main import main; main()", *arguments],
        env=settings.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def type_of(settings: Settings, view: str, column: str) -> str:
    query = f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'mart.{view}'::regclass"
    ((found,),) = ask(settings, f"{query} AND attname = '{column}'")
    return str(found)


def test_a_view_whose_tables_are_not_there_is_left_out_and_named(warehouse: Settings) -> None:
    assert states(warehouse) == all_are("waiting")
    write(warehouse, SELLERS, [Seller("s1", "01001", "sao paulo", "SP")])
    write(warehouse, PRODUCTS, [])
    by_name = {one.view.name: one for one in apply(warehouse)}
    assert by_name["dim_seller"].state == "new"
    assert by_name["dim_product"].missing == (f"warehouse.{CATEGORY_TRANSLATIONS.table}",)
    assert ask(warehouse, "SELECT * FROM mart.dim_seller") == [("s1", "01001", "sao paulo", "SP")]
    assert states(warehouse) == {**all_are("waiting"), "dim_seller": "unchanged"}


def test_a_table_that_lacks_a_column_stops_every_view_and_the_one_is_named(tables: Settings) -> None:
    ask(tables, f"ALTER TABLE warehouse.{SELLERS.table} RENAME COLUMN seller_city TO town")
    with pytest.raises(Stopped, match=r"mart\.dim_place: .*seller_city") as stopped:
        apply(tables)
    assert "`olist sink run postgres`" in stopped.value.hint
    assert ask(tables, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'mart%'") == []


def test_applying_again_changes_nothing(marts: Settings) -> None:
    made = ask(marts, "SELECT oid, xmin FROM pg_class WHERE relnamespace = 'mart'::regnamespace ORDER BY oid")
    assert {one.state for one in apply(marts)} <= {"unchanged", "waiting"}
    assert ask(marts, "SELECT oid, xmin FROM pg_class WHERE relnamespace = 'mart'::regnamespace ORDER BY oid") == made


def test_looking_leaves_nothing_behind(tables: Settings) -> None:
    assert states(tables) == all_are("new")
    assert ask(tables, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'mart%'") == []


def test_a_view_that_somebody_changed_is_shown_and_replaced(marts: Settings) -> None:
    ask(
        marts,
        "CREATE OR REPLACE VIEW mart.dim_seller AS SELECT seller_id, seller_zip_code_prefix AS zip_code_prefix, "
        "seller_city AS city, 'XX'::text AS state FROM warehouse.sellers",
    )
    ask(marts, "COMMENT ON COLUMN mart.dim_product.weight_g IS 'Pounds.'")
    assert states(marts) == {**all_are("unchanged"), "dim_seller": "changed", "dim_product": "changed"}
    (seller,) = [one for one in planned(marts) if one.view.name == "dim_seller"]
    assert any(line.startswith("-") and "XX" in line for line in seller.difference)
    apply(marts)
    assert states(marts) == all_are("unchanged")


def test_a_replaced_view_keeps_its_grants_and_what_stands_on_it(marts: Settings) -> None:
    ask(marts, "DROP VIEW mart.dim_seller")
    ask(marts, "CREATE VIEW mart.dim_seller AS SELECT seller_id, 1 AS city FROM warehouse.sellers")
    ask(marts, "GRANT SELECT ON mart.dim_seller TO PUBLIC")
    ask(marts, "CREATE VIEW mart.own AS SELECT seller_id FROM mart.dim_seller")
    assert states(marts)["dim_seller"] == "changed"
    apply(marts)
    assert states(marts) == all_are("unchanged")
    assert ask(marts, "SELECT relacl::text LIKE '%=r/%' FROM pg_class WHERE oid = 'mart.dim_seller'::regclass") == [
        (True,)
    ]
    assert ask(marts, "SELECT * FROM mart.own") == []


def test_a_view_of_another_schema_stops_a_replacement_and_nothing_is_lost(marts: Settings) -> None:
    ask(marts, "DROP VIEW mart.dim_seller")
    ask(marts, "CREATE VIEW mart.dim_seller AS SELECT seller_id FROM warehouse.sellers")
    ask(marts, "CREATE VIEW public.report AS SELECT * FROM mart.dim_seller")
    with pytest.raises(Stopped) as stopped:
        apply(marts)
    assert "report" in stopped.value.hint
    assert ask(marts, "SELECT * FROM public.report") == []
    assert states(marts)["dim_seller"] == "changed"


def test_a_column_widens_under_the_marts_and_they_are_as_they_were(reader: str, marts: Settings) -> None:
    before = ask(marts, "SELECT * FROM mart.fact_payments")
    ask(marts, f"GRANT SELECT ON mart.fact_payments TO {reader} WITH GRANT OPTION")
    ask(marts, f"GRANT SELECT (order_id, order_total) ON mart.fact_orders TO {reader}")
    ask(marts, "ALTER VIEW mart.fact_payments SET (security_barrier = true)")
    ask(marts, "CREATE VIEW mart.own AS SELECT sum(payment_value) AS paid FROM mart.fact_payments")
    ask(marts, "COMMENT ON VIEW mart.own IS 'It''s ours.'")
    rights = (
        "SELECT relname, relacl::text, reloptions, obj_description(oid) FROM pg_class WHERE relkind = 'v' "
        "AND relnamespace = 'mart'::regnamespace ORDER BY relname"
    )
    columns = (
        "SELECT attname, attacl::text FROM pg_attribute WHERE attrelid = 'mart.fact_orders'::regclass "
        "AND attacl IS NOT NULL ORDER BY attname"
    )
    held, of_columns = ask(marts, rights), ask(marts, columns)
    assert len(of_columns) == 2

    wider = replace(ORDER_PAYMENTS, row=WiderPayment)
    write(marts, wider, [WiderPayment("o1", 2, "voucher", 2**40, Decimal("9999999999999.99"))])

    assert type_of(marts, "fact_payments", "payment_installments") == "bigint"
    assert type_of(marts, "fact_payments", "payment_value") == "numeric(18,2)"
    assert ask(marts, "SELECT * FROM mart.fact_payments WHERE payment_sequential = 1") == before
    assert ask(marts, "SELECT paid FROM mart.own") == [(Decimal("10000000000007.49"),)]
    assert ask(marts, rights) == held
    assert ask(marts, columns) == of_columns
    assert states(marts) == all_are("unchanged")


def test_an_added_column_leaves_the_marts_alone(marts: Settings) -> None:
    write(marts, replace(ORDER_PAYMENTS, row=WiderPayment), [])
    made = ask(marts, "SELECT oid FROM pg_class WHERE relnamespace = 'mart'::regnamespace ORDER BY oid")
    write(marts, replace(ORDER_PAYMENTS, row=PaymentWithMore), [PaymentWithMore("o2", 1, "boleto", 1, Decimal("1.00"))])
    assert ask(marts, "SELECT oid FROM pg_class WHERE relnamespace = 'mart'::regnamespace ORDER BY oid") == made
    assert ask(marts, "SELECT count(*) FROM mart.fact_payments") == [(2,)]


def test_a_widening_that_a_foreign_view_stops_leaves_the_marts_standing(marts: Settings) -> None:
    ask(marts, f"CREATE VIEW public.report AS SELECT payment_value FROM warehouse.{ORDER_PAYMENTS.table}")
    table = PostgresTable(replace(ORDER_PAYMENTS, row=WiderPayment), marts.postgres_url)
    with pytest.raises(Stopped, match="used by a view") as stopped:
        table.open()
    assert "report" in stopped.value.hint
    assert states(marts) == all_are("unchanged")
    ask(marts, "DROP VIEW public.report")
    table.open()
    table.close()
    assert states(marts) == all_are("unchanged")


def test_a_rebuild_takes_the_views_with_the_table_and_says_so(marts: Settings) -> None:
    over = ("fact_orders", "fact_payments")
    arguments = ("sink", "rebuild", "postgres", "--tables", ORDER_PAYMENTS.table)
    shown = olist(marts, *arguments)
    assert shown.returncode == 0, shown.stderr
    assert "would remove with them: mart.fact_orders, mart.fact_payments" in shown.stdout
    assert states(marts) == all_are("unchanged")
    done = olist(marts, *arguments, "--yes")
    assert done.returncode == 0, done.stderr
    assert "removed with them: mart.fact_orders, mart.fact_payments" in done.stdout
    assert "`olist marts apply`" in done.stdout
    assert states(marts) == {**all_are("unchanged"), **dict.fromkeys(over, "waiting")}
    write(marts, ORDER_PAYMENTS, [PAYMENT])
    apply(marts)
    assert states(marts) == all_are("unchanged")
    assert ask(marts, "SELECT sum(payment_value) FROM mart.fact_payments") == [(PAYMENT.payment_value,)]


def test_dropping_is_shown_first(marts: Settings) -> None:
    assert sorted(drop(marts, dry_run=True)) == sorted(f"mart.{name}" for name in ORACLES)
    assert states(marts) == all_are("unchanged")
    drop(marts, dry_run=False)
    assert states(marts) == all_are("new")


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


def test_the_command_tells_what_it_did_and_differs_with_an_exit_code(tables: Settings) -> None:
    assert olist(tables, "marts", "diff").returncode == 1
    done = olist(tables, "marts", "apply", "-o", "json")
    assert {row["view"] for row in json.loads(done.stdout) if row["done"] == "created"} >= {
        f"mart.{name}" for name in ORACLES
    }
    assert "mart.fact_orders" in olist(tables, "marts", "apply").stdout
    same = olist(tables, "marts", "diff")
    assert (same.returncode, same.stdout) == (0, "nothing would change\n")
    listed = {row["view"]: row for row in json.loads(olist(tables, "marts", "list", "-o", "json").stdout)}
    assert listed["mart.dim_seller"]["state"] == "unchanged"
    assert listed["mart.dim_seller"]["columns"]["seller_id"] == "The seller; unique here."
    assert "would remove mart.dim_seller" in olist(tables, "marts", "drop").stdout
    assert "removed mart.dim_seller" in olist(tables, "marts", "drop", "--yes").stdout
    assert states(tables) == all_are("new")
