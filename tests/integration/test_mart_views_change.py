"""Applying the marts, and what becomes of them when the tables below change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Annotated
from uuid import uuid4

import pytest

from olist.contracts import Long, Money, Row, Str
from olist.errors import Stopped
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    ORDER_PAYMENTS,
    PRODUCTS,
    SELLERS,
    OrderPayment,
    Seller,
)
from sinks.postgres.marts.apply import apply, drop, planned
from sinks.postgres.table import PostgresTable
from tests.commands import olist
from tests.mart_oracle import ORACLES
from tests.marts import ask, own_warehouse, write, write_none

pytestmark = pytest.mark.integration

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
    write_none(warehouse)
    write(warehouse, ORDER_PAYMENTS, [PAYMENT])
    return warehouse


@pytest.fixture
def marts(tables: Settings) -> Settings:
    """With the views applied."""
    apply(tables)
    return tables


def states(settings: Settings) -> dict[str, str]:
    """Of the views over the shop's own tables."""
    return {one.view.name: one.state for one in planned(settings) if one.view.name in ORACLES}


def all_are(state: str) -> dict[str, str]:
    return dict.fromkeys(ORACLES, state)


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
