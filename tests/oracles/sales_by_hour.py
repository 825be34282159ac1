"""Sales by hour, state and category from whole tables."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tests.oracles.rounding import rounded

HOUR_US = 3_600_000_000
KEY = ["hour", "customer_state", "category"]


def sales(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per hour, state and category in which something was sold that was not called off."""
    categories = tables["products"].join(
        tables["product_category_name_translation"], on="product_category_name", how="left"
    )
    category = pl.coalesce("product_category_name_english", "product_category_name", pl.lit("unknown"))
    sold = (
        tables["order_items"]
        .join(tables["orders"], on="order_id", how="inner")
        .join(tables["customers"], on="customer_id", how="left")
        .join(categories, on="product_id", how="left")
        .filter(~pl.col("order_status").is_in(["canceled", "unavailable"]))
        .with_columns(
            (pl.col("order_purchase_timestamp") // HOUR_US * HOUR_US).alias("hour"),
            pl.col("customer_state").fill_null("unknown"),
            category.alias("category"),
        )
    )
    rows = sold.group_by(KEY).agg(
        pl.col("order_id").n_unique().alias("orders"),
        pl.len().alias("items"),
        pl.col("price").sum().alias("revenue"),
        pl.col("freight_value").sum().alias("freight"),
    )
    return rows.with_columns(rounded("revenue", "orders", 2).alias("average_ticket"))
