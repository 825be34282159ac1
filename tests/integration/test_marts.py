"""The marts over a whole data set that the real sink wrote, each view against Polars, to the letter."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from olist.settings import Settings
from olist.source import read
from olist.stack.local import Stack
from olist.tables import TABLES
from sinks.postgres.marts.apply import apply
from sinks.postgres.marts.catalogue import mart_views
from tests.mart_app_oracle import APP_GRAINS, APP_ORACLES, CONTRACTS, app_frames
from tests.mart_oracle import GRAINS, ORACLES, Frames
from tests.marts import own_warehouse, real_or_generated, write_all

pytestmark = pytest.mark.integration

ALL, KEY = ORACLES | APP_ORACLES, GRAINS | APP_GRAINS
OF_ORDERS = ("review_signals", "order_lifecycle", "order_alerts", "quality_violations")

# Fact, its key, the dimension, the dimension's key.
KEYS = [
    *((fact, "customer_unique_id", "dim_customer", "customer_unique_id") for fact in GRAINS if fact[:4] == "fact"),
    *((fact, "zip_code_prefix", "dim_place", "zip_code_prefix") for fact in GRAINS if fact[:4] == "fact"),
    *((fact, "purchase_date", "dim_date", "date") for fact in GRAINS if fact[:4] == "fact"),
    ("fact_orders", "delivered_date", "dim_date", "date"),
    ("fact_orders", "estimated_date", "dim_date", "date"),
    ("fact_reviews", "created_date", "dim_date", "date"),
    *((view, "customer_unique_id", "dim_customer", "customer_unique_id") for view in OF_ORDERS),
    *((view, "zip_code_prefix", "dim_place", "zip_code_prefix") for view in (*OF_ORDERS, "seller_scores")),
    *((view, "purchase_date", "dim_date", "date") for view in (*OF_ORDERS, "sales_by_hour")),
    *((view, "order_id", "fact_orders", "order_id") for view in OF_ORDERS[:-1]),
    ("review_signals", "created_date", "dim_date", "date"),
    ("seller_scores", "seller_id", "dim_seller", "seller_id"),
    ("fact_order_items", "product_id", "dim_product", "product_id"),
    ("fact_order_items", "seller_id", "dim_seller", "seller_id"),
    ("dim_customer", "zip_code_prefix", "dim_place", "zip_code_prefix"),
    ("dim_customer", "last_order_date", "dim_date", "date"),
    ("dim_seller", "zip_code_prefix", "dim_place", "zip_code_prefix"),
]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Every table's rows: the shop's, and what apps make of them."""
    data = real_or_generated(tmp_path_factory.mktemp("marts"))
    return read(data) | app_frames(data)


@pytest.fixture(scope="module")
def warehouse(stack: Stack, frames: Frames) -> Iterator[Settings]:
    """Every table written, every view applied."""
    with own_warehouse(stack.settings) as settings:
        write_all(settings, frames, [*TABLES.values(), *CONTRACTS])
        assert {one.view.name: one.state for one in apply(settings)} == dict.fromkeys(ALL, "new")
        yield settings


@pytest.fixture(scope="module")
def database(warehouse: Settings) -> Iterator[psycopg.Connection]:
    with psycopg.connect(warehouse.postgres_url, autocommit=True) as connection:
        yield connection


def rows(database: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query.encode()).fetchall()


def told(value: Any) -> Any:
    """A decimal as its text: 1.5 is not 1.50."""
    return str(value) if isinstance(value, Decimal) else value


@pytest.mark.parametrize("name", ALL)
def test_a_view_is_what_polars_makes_of_the_files(database: psycopg.Connection, frames: Frames, name: str) -> None:
    expected = ALL[name](frames).sort(KEY[name])
    cursor = database.execute(f"SELECT * FROM mart.{name}".encode())
    assert [column.name for column in cursor.description or ()] == expected.columns
    places = [expected.columns.index(column) for column in KEY[name]]
    found = sorted((tuple(map(told, row)) for row in cursor), key=lambda row: [row[place] for place in places])
    assert len(found) == expected.height > 0
    different = [(ours, theirs) for ours, theirs in zip(found, expected.rows(), strict=True) if ours != theirs]
    assert different == []


@pytest.mark.parametrize("name", KEY)
def test_a_views_grain_is_its_key(database: psycopg.Connection, name: str) -> None:
    key = ", ".join(KEY[name])
    assert rows(database, f"SELECT {key} FROM mart.{name} GROUP BY {key} HAVING count(*) > 1") == []


@pytest.mark.parametrize(("fact", "key", "dimension", "of_dimension"), KEYS)
def test_every_key_of_a_fact_has_its_row_in_the_dimension(
    database: psycopg.Connection, fact: str, key: str, dimension: str, of_dimension: str
) -> None:
    lost = rows(
        database,
        f"SELECT f.{key} FROM mart.{fact} f LEFT JOIN mart.{dimension} d ON d.{of_dimension} = f.{key} "
        f"WHERE f.{key} IS NOT NULL AND d.{of_dimension} IS NULL",
    )
    assert lost == []


def test_prices_add_up_to_the_files(database: psycopg.Connection, frames: Frames) -> None:
    total = frames["order_items"]["price"].sum()
    for query in ("SELECT sum(price) FROM mart.fact_order_items", "SELECT sum(items_total) FROM mart.fact_orders"):
        assert rows(database, query) == [(total,)]


def test_orders_without_items_and_reviews_of_two_orders_are_there(database: psycopg.Connection, frames: Frames) -> None:
    """Otherwise the comparison with Polars would say nothing about them."""
    without = rows(database, "SELECT count(*), sum(order_total) FROM mart.fact_orders WHERE item_count = 0")
    items = frames["order_items"]["order_id"].n_unique()
    assert without == [(frames["orders"].height - items, Decimal("0.00"))]
    once = rows(database, "SELECT count(*) FROM mart.fact_reviews WHERE order_of_review = 1")
    assert once == [(frames["order_reviews"]["review_id"].n_unique(),)]


def test_every_view_and_column_is_documented_and_nothing_else_is(database: psycopg.Connection) -> None:
    there = {view: view_columns(database, view) for view in ALL}
    assert {view: set(mart_views()[view].columns) for view in ALL} == there
    assert all(mart_views()[view].comment for view in ALL)
    assert all(all(mart_views()[view].columns.values()) for view in ALL)


def view_columns(database: psycopg.Connection, view: str) -> set[str]:
    """The columns that have a comment in the database; fails when one has none."""
    found = rows(
        database,
        "SELECT attname, col_description(attrelid, attnum) IS NOT NULL FROM pg_attribute "
        f"WHERE attrelid = 'mart.{view}'::regclass AND attnum > 0",
    )
    assert all(has for _, has in found), found
    return {name for name, _ in found}


def test_every_views_file_has_an_oracle() -> None:
    assert set(mart_views()) == set(ALL)
