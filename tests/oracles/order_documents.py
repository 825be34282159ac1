"""Every order's document from whole tables, as dictionaries: what the topic must hold by key in the end."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

DAY_US = 86_400_000_000
ITEM = ["order_item_id", "product_id", "category", "category_english", "seller_id", "seller_city", "seller_state"]
MONEY = pl.Decimal(12, 2)


def documents(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per order, lists in their order."""
    customers = tables["customers"]
    parts = [_items(tables), _payments(tables["order_payments"]), _reviews(tables["order_reviews"])]
    found = tables["orders"].join(customers, on="customer_id", how="left")
    for part in parts:
        found = found.join(part, on="order_id", how="left")
    day = {c: pl.col(c) // DAY_US for c in found.columns if found.schema[c] == pl.Int64}
    delivered = day["order_delivered_customer_date"]
    return found.with_columns(
        *(pl.col(name).fill_null(pl.lit(0, MONEY)) for name in ("items_total", "freight_total", "payments_total")),
        *(pl.col(name).fill_null([]) for name in ("items", "payments", "reviews")),
        (delivered - day["order_purchase_timestamp"]).alias("delivery_days"),
        (delivered - day["order_estimated_delivery_date"]).alias("days_late"),
    )


def _items(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    products = tables["products"].join(
        tables["product_category_name_translation"], on="product_category_name", how="left"
    )
    named = products.select(
        "product_id", category="product_category_name", category_english="product_category_name_english"
    )
    lines = (
        tables["order_items"]
        .join(named, on="product_id", how="left")
        .join(tables["sellers"], on="seller_id", how="left")
        .sort("order_id", "order_item_id")
    )
    return lines.group_by("order_id").agg(
        pl.col("price").sum().alias("items_total"),
        pl.col("freight_value").sum().alias("freight_total"),
        pl.struct(*ITEM, "price", "freight_value").alias("items"),
    )


def _payments(payments: pl.DataFrame) -> pl.DataFrame:
    rows = payments.sort("order_id", "payment_sequential")
    return rows.group_by("order_id").agg(
        pl.col("payment_value").sum().alias("payments_total"),
        pl.struct(pl.exclude("order_id")).alias("payments"),
    )


def _reviews(reviews: pl.DataFrame) -> pl.DataFrame:
    rows = reviews.sort("order_id", "review_creation_date", "review_id")
    return rows.group_by("order_id").agg(pl.struct(pl.exclude("order_id")).alias("reviews"))
