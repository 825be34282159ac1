"""The marts over what apps write: the apps' rows by the apps' oracles, and the views over them anew with Polars."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from stream_apps.apps.order_lifecycle import ORDER_ALERTS, ORDER_LIFECYCLE
from stream_apps.apps.quality import VIOLATIONS
from stream_apps.apps.review_signals import REVIEW_SIGNALS
from stream_apps.apps.sales_by_hour import SALES_BY_HOUR
from stream_apps.apps.seller_scores import SELLER_SCORES
from tests.mart_oracle import Frames, day, dim_place, hours, moment, order_keys, two_decimals
from tests.oracles.files import tables
from tests.oracles.order_lifecycle import COURSE, alerts, lifecycles
from tests.oracles.quality import violations
from tests.oracles.review_signals import signals
from tests.oracles.sales_by_hour import sales
from tests.oracles.seller_scores import scores

CONTRACTS = (SALES_BY_HOUR, SELLER_SCORES, REVIEW_SIGNALS, ORDER_LIFECYCLE, ORDER_ALERTS, VIOLATIONS)
STAYS = [status for status in COURSE if status != "delivered"]


def app_frames(data: Path) -> dict[str, pl.DataFrame]:
    """What the apps write of the files, by table. The oracle of violations says nothing of how they are told."""
    shop = tables(data)
    broken = violations(data).with_columns(
        pl.col("table_name").alias("kind"),
        pl.format("{} of {}", "check_name", "table_name").alias("message"),
        pl.when(pl.col("check_name").str.len_chars() % 2 == 0).then("row_key").alias("found"),
    )
    frames = (sales(shop), scores(shop), signals(data), lifecycles(data), alerts(data), broken)
    return {contract.table: frame for contract, frame in zip(CONTRACTS, frames, strict=True)}


def sales_by_hour(frames: Frames) -> pl.DataFrame:
    at = moment("hour")
    return frames["sales_by_hour"].select(
        at.alias("hour"),
        at.dt.date().alias("purchase_date"),
        at.dt.strftime("%Y-%m").alias("year_month"),
        at.dt.strftime("%A").alias("day_name"),
        (at.dt.weekday() >= 6).alias("is_weekend"),
        at.dt.hour().alias("hour_of_day"),
        "customer_state",
        "category",
        "orders",
        "items",
        pl.col("revenue", "freight", "average_ticket").cast(pl.String),
    )


def seller_scores(frames: Frames) -> pl.DataFrame:
    places = dim_place(frames).select("zip_code_prefix", "latitude", "longitude")
    homes = frames["sellers"].select("seller_id", pl.col("seller_zip_code_prefix").alias("zip_code_prefix"))
    located = homes.join(places, on="zip_code_prefix", how="left")
    return (
        frames["seller_scores"]
        .join(located, on="seller_id", how="left")
        .select(
            "seller_id",
            "zip_code_prefix",
            pl.col("seller_city").alias("city"),
            pl.col("seller_state").alias("state"),
            "latitude",
            "longitude",
            "orders",
            "items",
            pl.col("revenue", "freight").cast(pl.String),
            "delivered_orders",
            "late_orders",
            pl.col("late_rate").cast(pl.String),
            "canceled_orders",
            pl.col("cancel_rate").cast(pl.String),
            "reviews",
            pl.col("review_mean").cast(pl.String),
        )
    )


def review_signals(frames: Frames) -> pl.DataFrame:
    rows = frames["review_signals"]
    as_they_are = rows.select(pl.exclude("review_id", "order_id", "review_score", "review_creation_date")).columns
    keys = order_keys(frames).drop("order_status")
    return rows.join(keys, on="order_id", how="left").select(
        "review_id",
        "order_id",
        "customer_unique_id",
        "zip_code_prefix",
        "purchase_date",
        day("review_creation_date").alias("created_date"),
        "review_score",
        *as_they_are,
    )


def order_lifecycle(frames: Frames) -> pl.DataFrame:
    """Stays of whole seconds as hours: hundredths of an hour are 36 s."""
    keys = order_keys(frames).drop("order_status")
    spent = [two_decimals(pl.col(f"{status}_s"), 3600).alias(f"hours_{status}") for status in STAYS]
    return (
        frames["order_lifecycle"]
        .join(keys, on="order_id", how="left")
        .select(
            "order_id",
            "customer_unique_id",
            "zip_code_prefix",
            day("order_purchase_timestamp").alias("purchase_date"),
            "order_status",
            moment("order_purchase_timestamp").alias("purchased_at"),
            moment("ended_at").alias("ended_at"),
            hours("order_purchase_timestamp", "ended_at").alias("hours_to_end"),
            "moves",
            "illegal_moves",
            *spent,
            "open_alerts",
        )
    )


def order_alerts(frames: Frames) -> pl.DataFrame:
    return (
        frames["order_alerts"]
        .join(order_keys(frames), on="order_id", how="left")
        .select(
            "order_id",
            "kind",
            "customer_unique_id",
            "zip_code_prefix",
            "purchase_date",
            "order_status",
            moment("raised_at").alias("raised_at"),
            moment("cleared_at").alias("cleared_at"),
            pl.col("cleared_at").is_null().alias("is_open"),
            hours("raised_at", "cleared_at").alias("hours_open"),
            pl.col("items").alias("late_items"),
        )
    )


def quality_violations(frames: Frames) -> pl.DataFrame:
    row_key = pl.col("row_key")
    ids = [row_key.str.json_path_match(f"$.{name}").alias(name) for name in ("order_id", "product_id", "seller_id")]
    return (
        frames["quality_violations"]
        .with_columns(ids)
        .join(order_keys(frames).drop("order_status"), on="order_id", how="left")
        .select(
            "check_name",
            "table_name",
            "row_key",
            "kind",
            "message",
            "found",
            moment("opened_at").alias("opened_at"),
            "order_id",
            "product_id",
            "seller_id",
            "customer_unique_id",
            "zip_code_prefix",
            "purchase_date",
        )
    )


APP_ORACLES = {
    oracle.__name__: oracle
    for oracle in (sales_by_hour, seller_scores, review_signals, order_lifecycle, order_alerts, quality_violations)
}
APP_GRAINS = {contract.table: contract.key for contract in CONTRACTS}
