"""Every seller's score from whole tables: first one row per order and seller, then one per seller."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tests.oracles.rounding import rounded


def scores(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One row per seller with an item in an order that is known."""
    per_order = _orders_of_sellers(tables)
    sums = per_order.group_by("seller_id").agg(
        pl.len().alias("orders"),
        pl.col("items", "revenue", "freight").filter(pl.col("counts")).sum(),
        pl.col("delivered").sum().alias("delivered_orders"),
        pl.col("late").sum().alias("late_orders"),
        pl.col("canceled").sum().alias("canceled_orders"),
        pl.col("reviews", "points").sum(),
    )
    return sums.join(
        tables["sellers"].select("seller_id", "seller_city", "seller_state"), on="seller_id", how="left"
    ).with_columns(
        rounded("late_orders", "delivered_orders", 4).alias("late_rate"),
        rounded("canceled_orders", "orders", 4).alias("cancel_rate"),
        rounded("points", "reviews", 2).alias("review_mean"),
    )


def _orders_of_sellers(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    reviews = (
        tables["order_reviews"]
        .group_by("order_id")
        .agg(pl.len().cast(pl.Int64).alias("reviews"), pl.col("review_score").cast(pl.Int64).sum().alias("points"))
    )
    shares = (
        tables["order_items"]
        .group_by("seller_id", "order_id")
        .agg(
            pl.len().cast(pl.Int64).alias("items"),
            pl.col("price").sum().alias("revenue"),
            pl.col("freight_value").sum().alias("freight"),
        )
    )
    known = shares.join(tables["orders"], on="order_id").join(reviews, on="order_id", how="left")
    arrived, promised = (
        pl.from_epoch(f"order_{moment}_date", "us").dt.date() for moment in ("delivered_customer", "estimated_delivery")
    )
    status = pl.col("order_status")
    return known.with_columns(
        pl.col("reviews", "points").fill_null(0),
        (~status.is_in(["canceled", "unavailable"])).alias("counts"),
        arrived.is_not_null().alias("delivered"),
        (arrived > promised).fill_null(value=False).alias("late"),
        (status == "canceled").alias("canceled"),
    )
