"""Marts over what apps write: their rows through the real sink, beside the shop's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from olist.contract_registry import derived
from olist.contracts import Contract
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import CUSTOMERS, GEOLOCATION, ORDERS, SELLERS, TABLES, Customer, Geolocation, Order, Seller
from sinks.postgres.marts.apply import apply
from sinks.postgres.marts.catalogue import MartView, mart_views
from stream_apps.apps.order_lifecycle import ORDER_ALERTS, ORDER_LIFECYCLE, OrderAlert, OrderLifecycle
from stream_apps.apps.quality import VIOLATIONS, Violation
from stream_apps.apps.review_signals import REVIEW_SIGNALS, ReviewSignal
from stream_apps.apps.seller_scores import SELLER_SCORES, SellerScore
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
        write(settings, SELLERS, [Seller("s1", "01001", "sao paulo", "SP")])
        write(settings, GEOLOCATION, [Geolocation("01001", -23.5, -46.6, "sao paulo", "SP")])
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
    first, second = sorted(rows(warehouse, "review_signals"), key=lambda row: row["order_id"])
    keys = {"customer_unique_id": "u1", "zip_code_prefix": "01001", "purchase_date": date(2017, 7, 14)}
    assert first == {**plain, **known, **keys, "order_id": "o1", "created_date": date(2017, 7, 17)}
    assert second == {
        **plain,
        **dict.fromkeys((*known, *keys)),
        "order_id": "o2",
        "created_date": date(2017, 7, 14),
    }


def test_a_sellers_scores_have_their_place_as_soon_as_it_is_known(warehouse: Settings) -> None:
    scores: dict[str, Any] = {
        "orders": 4,
        "items": 5,
        "revenue": Decimal("50.00"),
        "freight": Decimal("5.00"),
        "delivered_orders": 3,
        "late_orders": 1,
        "late_rate": Decimal("0.3333"),
        "canceled_orders": 1,
        "cancel_rate": Decimal("0.2500"),
        "reviews": 0,
        "review_mean": None,
    }
    write(
        warehouse,
        SELLER_SCORES,
        [SellerScore("s1", "sao paulo", "SP", **scores), SellerScore("s2", None, None, **scores)],
    )
    known, unknown = sorted(rows(warehouse, "seller_scores"), key=lambda row: row["seller_id"])
    place = {"zip_code_prefix": "01001", "city": "sao paulo", "state": "SP", "latitude": -23.5, "longitude": -46.6}
    assert known == {"seller_id": "s1", **place, **scores}
    assert unknown == {"seller_id": "s2", **dict.fromkeys(place), **scores}


def test_what_is_told_of_an_order_that_has_not_arrived_is_there_without_its_keys(warehouse: Settings) -> None:
    unknown = OrderLifecycle("o2", "created", BOUGHT, "created", 0, None, None, None, None, None, None, 1)
    write(warehouse, ORDER_LIFECYCLE, [unknown])
    write(warehouse, ORDER_ALERTS, [OrderAlert("o2", "not_approved", BOUGHT + 2 * DAY, None, None)])
    (lifecycle,), (alert,) = rows(warehouse, "order_lifecycle"), rows(warehouse, "order_alerts")
    keys = ("customer_unique_id", "zip_code_prefix")
    assert [lifecycle[key] for key in keys] == [alert[key] for key in keys] == [None, None]
    assert (lifecycle["purchase_date"], lifecycle["hours_to_end"]) == (date(2017, 7, 14), None)
    assert (alert["purchase_date"], alert["is_open"], alert["hours_open"]) == (None, True, None)


def test_a_violation_of_any_key_leaves_the_view_readable(warehouse: Settings) -> None:
    told = ("kind", "message", None, None)
    keys = (
        '{"order_id":"o1","seller_id":"s1"}',
        '{"order_id":"\\u0000"}',
        '{"topic":"t","partition":0,"offset":7}',
        "",
    )
    write(warehouse, VIOLATIONS, [Violation("check", "orders", key, *told) for key in keys])
    found = {row["row_key"]: row for row in rows(warehouse, "quality_violations")}
    assert set(found) == set(keys)
    known = found[keys[0]]
    assert [known[name] for name in ("order_id", "seller_id", "product_id")] == ["o1", "s1", None]
    assert (known["customer_unique_id"], known["purchase_date"]) == ("u1", date(2017, 7, 14))
    assert {found[key]["purchase_date"] for key in keys[1:]} == {None}
