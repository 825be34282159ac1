"""What is wrong with the CSV files, said again in Polars: which rows break which rule, and since when in a replay.

Written from the rules' words, not from the app. A replay creates a row when the first order that needs it is placed,
and sets an order's dates one by one, so a contradiction is there from the later of its two dates.
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import polars as pl

from tests.oracles.files import csv, moment, order_dates

HOUR_US = 3_600_000_000
STATUSES = ["created", "approved", "invoiced", "processing", "shipped", "delivered", "canceled", "unavailable"]
STATES = "AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO"

SINCE = "since"


def violations(data: Path) -> pl.DataFrame:
    """`check_name`, `table_name`, `row_key`, `opened_at` in microseconds, sorted; of a zip or a folder."""
    orders = order_dates(data)
    frames = [_orders(data, orders), _children(data, orders), _catalogue(data, orders), _references(data, orders)]
    return pl.concat(frames).sort("check_name", "table_name", "row_key")


def _found(
    frame: pl.DataFrame, check: str, table: str, key: list[str], broken: pl.Expr, since: pl.Expr
) -> pl.DataFrame:
    """The broken rows of one rule, in the output's shape."""
    return frame.filter(broken).select(
        pl.lit(check).alias("check_name"),
        pl.lit(table).alias("table_name"),
        _json(frame, key).alias("row_key"),
        since.cast(pl.Int64).alias("opened_at"),
    )


def _json(frame: pl.DataFrame, key: list[str]) -> pl.Expr:
    """A key as compact JSON: numbers bare, text in quotes (ids hold nothing that must be escaped)."""
    fields = [f'"{name}":{{}}' if frame.schema[name].is_numeric() else f'"{name}":"{{}}"' for name in key]
    template = "\x01" + ",".join(fields) + "\x02"
    return pl.format(template, *key).str.replace("\x01", "{", literal=True).str.replace("\x02", "}", literal=True)


def _orders(data: Path, orders: pl.DataFrame) -> pl.DataFrame:
    placed, approved, handed, delivered = (pl.col(name) for name in ("placed", "approved", "handed", "delivered"))
    status = pl.col("order_status")
    late = pl.max_horizontal

    def rule(check: str, broken: pl.Expr, since: pl.Expr) -> pl.DataFrame:
        return _found(orders, check, "orders", ["order_id"], broken, since)

    no_items = ~pl.col("order_id").is_in(csv(data, "order_items")["order_id"].implode())
    no_payment = ~pl.col("order_id").is_in(csv(data, "order_payments")["order_id"].implode())
    return pl.concat(
        [
            rule("unknown_status", ~status.is_in(STATUSES), placed),
            rule("approved_before_purchase", approved < placed, placed),
            rule("handed_over_before_purchase", handed < placed, placed),
            rule("handed_over_before_approval", handed < approved, late(approved, placed)),
            rule("delivered_before_handover", delivered < handed, late(handed, placed)),
            rule("delivered_before_purchase", delivered < placed, placed),
            rule("estimate_before_purchase", pl.col("estimated") < placed, placed),
            rule("delivered_without_approval", (status == "delivered") & approved.is_null(), late(delivered, placed)),
            rule("shipped_without_handover", status.is_in(["shipped", "delivered"]) & handed.is_null(), placed),
            rule("delivered_without_date", (status == "delivered") & delivered.is_null(), placed),
            rule("order_without_items", no_items & ~status.is_in(["canceled", "unavailable"]), placed + HOUR_US),
            rule("order_without_payment", no_payment, placed + HOUR_US),
        ]
    )


def _children(data: Path, orders: pl.DataFrame) -> pl.DataFrame:
    """Items, payments and reviews."""
    when = orders.select("order_id", pl.col("placed").alias(SINCE))
    since = pl.col(SINCE)
    items = (
        csv(data, "order_items")
        .join(when, on="order_id")
        .with_columns(pl.col("order_item_id").cast(pl.Int64), pl.col("price", "freight_value").cast(pl.Decimal(12, 2)))
    )
    payments = (
        csv(data, "order_payments")
        .join(when, on="order_id")
        .with_columns(
            pl.col("payment_sequential", "payment_installments").cast(pl.Int64),
            pl.col("payment_value").cast(pl.Decimal(12, 2)),
        )
    )
    reviews = (
        csv(data, "order_reviews")
        .join(when, on="order_id")
        .with_columns(
            pl.col("review_score").cast(pl.Int64),
            moment("review_creation_date").alias("asked"),
            moment("review_answer_timestamp").alias("answered"),
        )
    )
    item, payment = ["order_id", "order_item_id"], ["order_id", "payment_sequential"]
    review = ["review_id", "order_id"]
    asked = pl.max_horizontal(since, "asked")
    types = ["credit_card", "boleto", "debit_card", "voucher"]
    return pl.concat(
        [
            _found(items, "number_below_one", "order_items", item, pl.col("order_item_id") < 1, since),
            _found(items, "price_not_positive", "order_items", item, pl.col("price") <= 0, since),
            _found(items, "freight_negative", "order_items", item, pl.col("freight_value") < 0, since),
            _found(
                payments, "unknown_payment_type", "order_payments", payment, ~pl.col("payment_type").is_in(types), since
            ),
            _found(
                payments, "installments_below_one", "order_payments", payment, pl.col("payment_installments") < 1, since
            ),
            _found(payments, "payment_not_positive", "order_payments", payment, pl.col("payment_value") <= 0, since),
            _found(
                reviews, "score_out_of_range", "order_reviews", review, ~pl.col("review_score").is_between(1, 5), asked
            ),
            _found(
                reviews,
                "answered_before_asked",
                "order_reviews",
                review,
                pl.col("answered") < pl.col("asked"),
                pl.max_horizontal(asked, "answered"),
            ),
        ]
    )


def _needed(data: Path, orders: pl.DataFrame, table: str, key: str) -> pl.DataFrame:
    """A table's rows, and when a replay creates them: with the first order that needs them, or with the first."""
    use = orders if key == "customer_id" else csv(data, "order_items").join(orders, on="order_id")
    first = use.group_by(key).agg(pl.col("placed").min().alias(SINCE))
    return (
        csv(data, table).join(first, on=key, how="left").with_columns(pl.col(SINCE).fill_null(orders["placed"].min()))
    )


def _catalogue(data: Path, orders: pl.DataFrame) -> pl.DataFrame:
    """Products, customers, sellers, places and translations."""
    opening = pl.lit(orders["placed"].min())
    measures = ["product_weight_g", "product_length_cm", "product_height_cm", "product_width_cm"]
    told = ["product_name_lenght", "product_description_lenght", "product_photos_qty"]
    products = _needed(data, orders, "products", "product_id").with_columns(pl.col(*measures, *told).cast(pl.Int64))
    places = _places(data)
    return pl.concat(
        [
            *(
                _found(products, check, "products", ["product_id"], broken, pl.col(SINCE))
                for check, broken in {
                    "no_category": pl.col("product_category_name").is_null(),
                    "no_description": pl.any_horizontal(pl.col(told).is_null()),
                    "not_measured": pl.any_horizontal(pl.col(measures).is_null()),
                    "measure_not_positive": pl.any_horizontal((pl.col(measures) <= 0).fill_null(False)),
                }.items()
            ),
            *_places_named(_needed(data, orders, "customers", "customer_id"), "customers", "customer"),
            *_places_named(_needed(data, orders, "sellers", "seller_id"), "sellers", "seller"),
            _found(
                places,
                "outside_of_brazil",
                "geolocation",
                ["geolocation_zip_code_prefix"],
                ~(pl.col("latitude").is_between(-33.8, 5.3) & pl.col("longitude").is_between(-74.0, -28.8)),
                opening,
            ),
        ]
    )


def _places_named(frame: pl.DataFrame, table: str, whose: str) -> list[pl.DataFrame]:
    key = [f"{whose}_id"]
    malformed = ~pl.col(f"{whose}_zip_code_prefix").str.contains(r"^[0-9]{5}$")
    unknown = ~pl.col(f"{whose}_state").is_in(STATES.split())
    return [
        _found(frame, "malformed_zip", table, key, malformed, pl.col(SINCE)),
        _found(frame, "unknown_state", table, key, unknown, pl.col(SINCE)),
    ]


def _places(data: Path) -> pl.DataFrame:
    """A place per zip prefix: the medians of its distinct points."""
    zip_prefix, point = "geolocation_zip_code_prefix", ("geolocation_lat", "geolocation_lng")
    points = csv(data, "geolocation").select(zip_prefix, pl.col(point).cast(pl.Float64)).unique()
    return points.group_by(zip_prefix).agg(
        pl.col("geolocation_lat").median().round(6).alias("latitude"),
        pl.col("geolocation_lng").median().round(6).alias("longitude"),
    )


def _references(data: Path, orders: pl.DataFrame) -> pl.DataFrame:
    when = orders.select("order_id", pl.col("placed").alias(SINCE))
    items = (
        csv(data, "order_items")
        .join(when, on="order_id", how="left")
        .with_columns(pl.col("order_item_id").cast(pl.Int64))
    )
    payments = csv(data, "order_payments").join(when, on="order_id", how="left")
    payments = payments.with_columns(pl.col("payment_sequential").cast(pl.Int64))
    reviews = csv(data, "order_reviews").join(when, on="order_id", how="left")
    products = _needed(data, orders, "products", "product_id")
    customers = _needed(data, orders, "customers", "customer_id")
    sellers = _needed(data, orders, "sellers", "seller_id")
    translations = csv(data, "product_category_name_translation")
    item, payment = ["order_id", "order_item_id"], ["order_id", "payment_sequential"]
    zips = "geolocation_zip_code_prefix"
    places = _places(data)
    missing = [
        _missing(items, "item_without_order", "order_items", item, "order_id", orders, "order_id"),
        _missing(items, "item_without_product", "order_items", item, "product_id", products, "product_id"),
        _missing(items, "item_without_seller", "order_items", item, "seller_id", sellers, "seller_id"),
        _missing(payments, "payment_without_order", "order_payments", payment, "order_id", orders, "order_id"),
        _missing(
            reviews, "review_without_order", "order_reviews", ["review_id", "order_id"], "order_id", orders, "order_id"
        ),
        _missing(
            orders.with_columns(pl.col("placed").alias(SINCE)),
            "order_without_customer",
            "orders",
            ["order_id"],
            "customer_id",
            customers,
            "customer_id",
        ),
        _missing(
            products,
            "category_without_translation",
            "products",
            ["product_id"],
            "product_category_name",
            translations,
            "product_category_name",
        ),
        _missing(
            customers, "customer_without_place", "customers", ["customer_id"], "customer_zip_code_prefix", places, zips
        ),
        _missing(sellers, "seller_without_place", "sellers", ["seller_id"], "seller_zip_code_prefix", places, zips),
    ]
    return reduce(pl.DataFrame.vstack, missing)


def _missing(
    frame: pl.DataFrame, check: str, table: str, key: list[str], by: str, parents: pl.DataFrame, parent_key: str
) -> pl.DataFrame:
    lost = pl.col(by).is_not_null() & ~pl.col(by).is_in(parents[parent_key].implode())
    names = key if by in key else [*key, by]
    return _found(frame, check, table, names, lost, pl.col(SINCE) + HOUR_US)
