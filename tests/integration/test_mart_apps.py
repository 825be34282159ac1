"""Marts over what apps write: their rows through the real sink, beside the shop's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from olist.contracts import Contract
from olist.derived import derived
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import CUSTOMERS, ORDERS, TABLES, Customer, Order
from sinks.postgres.marts.apply import apply
from sinks.postgres.marts.catalogue import MartView, mart_views
from stream_apps.review_signals import REVIEW_SIGNALS, ReviewSignal
from tests.marts import own_warehouse, write

pytestmark = pytest.mark.integration

BOUGHT = 1_500_000_000_000_000  # 2017-07-14 02:40
DAY = 86_400_000_000


def reads_an_app(view: MartView) -> bool:
    return any(table.split(".")[1] not in TABLES for table in view.tables)


@pytest.fixture(scope="module")
def warehouse(stack: Stack) -> Iterator[Settings]:
    """Every table, the shop's with one order of it; the views applied."""
    with own_warehouse(stack.settings) as settings:
        for contract in (*TABLES.values(), *written_by_apps()):
            write(settings, contract, [])
        write(settings, CUSTOMERS, [Customer("c1", "u1", "01001", "sao paulo", "SP")])
        write(settings, ORDERS, [Order("o1", "c1", "delivered", BOUGHT, None, None, BOUGHT + DAY, BOUGHT + 9 * DAY)])
        apply(settings)
        yield settings


def written_by_apps() -> list[Contract]:
    return [contract for contract in derived().values() if "postgres" in contract.targets]


def rows(settings: Settings, view: str) -> list[dict[str, Any]]:
    with psycopg.connect(settings.postgres_url, row_factory=dict_row) as connection:
        return connection.execute(f"SELECT * FROM mart.{view}".encode()).fetchall()


def test_every_mart_finds_its_apps_table(warehouse: Settings) -> None:
    over_apps = {name for name, view in mart_views().items() if reads_an_app(view)}
    assert {one.view.name: one.state for one in apply(warehouse) if one.view.name in over_apps} == dict.fromkeys(
        over_apps, "unchanged"
    )


@pytest.mark.parametrize("view", [view for view in mart_views().values() if reads_an_app(view)], ids=lambda v: v.name)
def test_its_columns_are_documented_and_nothing_else_is(warehouse: Settings, view: MartView) -> None:
    with psycopg.connect(warehouse.postgres_url) as connection:
        there = connection.execute(f"SELECT * FROM mart.{view.name}".encode()).description or []
    assert [column.name for column in there] == list(view.columns)
    assert view.comment


def test_a_reviews_signals_stand_beside_the_persons_and_the_places_keys(warehouse: Settings) -> None:
    flags = dict.fromkeys(
        (
            "counterfeit",
            "damaged",
            "missing_part",
            "not_received",
            "out_of_stock",
            "poor_quality",
            "refund",
            "seller_contact",
            "wrong_product",
        ),
        0,
    )
    plain: dict[str, Any] = {
        "review_id": "r1",
        "review_score": 2,
        "language": "pt",
        "characters": 12,
        "words": 3,
        "has_title": 0,
        "topics": "late_delivery",
        "late_delivery": 1,
        **flags,
    }
    known: dict[str, Any] = {"order_status": "delivered", "delivered": 1, "days_late": -8, "days_to_review": 2}
    write(
        warehouse,
        REVIEW_SIGNALS,
        [
            ReviewSignal(order_id="o1", review_creation_date=BOUGHT + 3 * DAY, **plain, **known),
            ReviewSignal(order_id="o2", review_creation_date=BOUGHT, **plain),
        ],
    )
    first, second = sorted(rows(warehouse, "fact_review_signals"), key=lambda row: row["order_id"])
    keys = {"customer_unique_id": "u1", "zip_code_prefix": "01001", "purchase_date": date(2017, 7, 14)}
    assert first == {**plain, **known, **keys, "order_id": "o1", "created_date": date(2017, 7, 17)}
    assert second == {
        **plain,
        **dict.fromkeys((*known, *keys)),
        "order_id": "o2",
        "created_date": date(2017, 7, 14),
    }
