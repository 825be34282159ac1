"""The marts' views computed anew with Polars from the CSV files' frames; money and hours as text, to the letter."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

Frames = Mapping[str, pl.DataFrame]

# Hours with two decimals are hundredths of 36 s.
HUNDREDTH_US = 36_000_000


def moment(name: str) -> pl.Expr:
    return pl.from_epoch(pl.col(name), time_unit="us")


def day(name: str) -> pl.Expr:
    return moment(name).dt.date()


def two_decimals(numerator: pl.Expr, denominator: pl.Expr | int) -> pl.Expr:
    """A fraction of integers as text with two decimals; halves go away from zero."""
    hundredths = (200 * numerator.abs() + denominator) // (2 * denominator)
    text = pl.format("{}.{}", hundredths // 100, (hundredths % 100).cast(pl.String).str.zfill(2))
    negative = (numerator < 0) & (hundredths > 0)
    return pl.when(numerator.is_not_null()).then(pl.when(negative).then(pl.format("-{}", text)).otherwise(text))


def hours(start: str, end: str) -> pl.Expr:
    return two_decimals(pl.col(end) - pl.col(start), 100 * HUNDREDTH_US)


def money(expr: pl.Expr) -> pl.Expr:
    return expr.cast(pl.Decimal(18, 2)).cast(pl.String)


def with_customer(frames: Frames) -> pl.DataFrame:
    """Orders with their customers' rows."""
    return frames["orders"].join(frames["customers"], on="customer_id", how="left")


def order_keys(frames: Frames) -> pl.DataFrame:
    """What a fact of an order takes from it."""
    return with_customer(frames).select(
        "order_id",
        "customer_unique_id",
        pl.col("customer_zip_code_prefix").alias("zip_code_prefix"),
        day("order_purchase_timestamp").alias("purchase_date"),
        "order_status",
    )


def fact_orders(frames: Frames) -> pl.DataFrame:
    items = (
        frames["order_items"]
        .group_by("order_id")
        .agg(
            pl.len().alias("item_count"),
            pl.col("seller_id").n_unique().alias("seller_count"),
            pl.col("price").sum().alias("items_total"),
            pl.col("freight_value").sum().alias("freight_total"),
        )
    )
    payments = (
        frames["order_payments"]
        .group_by("order_id")
        .agg(pl.len().alias("payment_count"), pl.col("payment_value").sum().alias("payments_total"))
    )
    reviews = (
        frames["order_reviews"]
        .group_by("order_id")
        .agg(
            pl.len().alias("review_count"),
            two_decimals(pl.col("review_score").sum().cast(pl.Int64), pl.len().cast(pl.Int64)).alias(
                "review_score_mean"
            ),
        )
    )
    joined = with_customer(frames)
    for other in (items, payments, reviews):
        joined = joined.join(other, on="order_id", how="left")
    counts = ("item_count", "seller_count", "payment_count", "review_count")
    totals = ("items_total", "freight_total", "payments_total")
    joined = joined.with_columns(pl.col(*counts, *totals).fill_null(0))
    delivered, estimated = day("order_delivered_customer_date"), day("order_estimated_delivery_date")
    return joined.select(
        "order_id",
        "customer_unique_id",
        pl.col("customer_zip_code_prefix").alias("zip_code_prefix"),
        day("order_purchase_timestamp").alias("purchase_date"),
        "order_status",
        moment("order_purchase_timestamp").alias("purchased_at"),
        moment("order_approved_at").alias("approved_at"),
        moment("order_delivered_carrier_date").alias("handed_over_at"),
        moment("order_delivered_customer_date").alias("delivered_at"),
        delivered.alias("delivered_date"),
        estimated.alias("estimated_date"),
        hours("order_purchase_timestamp", "order_approved_at").alias("hours_to_approval"),
        hours("order_approved_at", "order_delivered_carrier_date").alias("hours_to_handover"),
        hours("order_delivered_carrier_date", "order_delivered_customer_date").alias("hours_in_transit"),
        hours("order_purchase_timestamp", "order_delivered_customer_date").alias("hours_to_delivery"),
        (delivered - estimated).dt.total_days().alias("days_late"),
        (delivered > estimated).alias("is_late"),
        "item_count",
        "seller_count",
        money(pl.col("items_total")).alias("items_total"),
        money(pl.col("freight_total")).alias("freight_total"),
        money(pl.col("items_total") + pl.col("freight_total")).alias("order_total"),
        "payment_count",
        money(pl.col("payments_total")).alias("payments_total"),
        "review_count",
        "review_score_mean",
    )


def fact_order_items(frames: Frames) -> pl.DataFrame:
    return (
        frames["order_items"]
        .join(order_keys(frames), on="order_id", how="left")
        .select(
            "order_id",
            "order_item_id",
            "product_id",
            "seller_id",
            "customer_unique_id",
            "zip_code_prefix",
            "purchase_date",
            "order_status",
            moment("shipping_limit_date").alias("shipping_limit_at"),
            money(pl.col("price")).alias("price"),
            money(pl.col("freight_value")).alias("freight_value"),
            money(pl.col("price") + pl.col("freight_value")).alias("item_total"),
        )
    )


def fact_payments(frames: Frames) -> pl.DataFrame:
    return (
        frames["order_payments"]
        .join(order_keys(frames), on="order_id", how="left")
        .select(
            "order_id",
            "payment_sequential",
            "customer_unique_id",
            "zip_code_prefix",
            "purchase_date",
            "order_status",
            "payment_type",
            "payment_installments",
            money(pl.col("payment_value")).alias("payment_value"),
        )
    )


def fact_reviews(frames: Frames) -> pl.DataFrame:
    return (
        frames["order_reviews"]
        .join(order_keys(frames), on="order_id", how="left")
        .select(
            "review_id",
            "order_id",
            "customer_unique_id",
            "zip_code_prefix",
            "purchase_date",
            day("review_creation_date").alias("created_date"),
            moment("review_answer_timestamp").alias("answered_at"),
            hours("review_creation_date", "review_answer_timestamp").alias("hours_to_answer"),
            "review_score",
            pl.col("review_comment_title").alias("comment_title"),
            pl.col("review_comment_message").alias("comment_message"),
            (pl.col("review_comment_title").is_not_null() | pl.col("review_comment_message").is_not_null()).alias(
                "has_comment"
            ),
            pl.len().over("review_id").alias("orders_of_review"),
            pl.col("order_id").rank("ordinal").over("review_id").alias("order_of_review"),
        )
    )


def dim_customer(frames: Frames) -> pl.DataFrame:
    bought = "order_purchase_timestamp"
    address = pl.struct("customer_zip_code_prefix", "customer_city", "customer_state")
    return (
        frames["customers"]
        .join(frames["orders"].select("customer_id", bought), on="customer_id", how="left")
        .sort(bought, "customer_id", nulls_last=False)
        .group_by("customer_unique_id", maintain_order=True)
        .agg(
            pl.col("customer_zip_code_prefix").last().alias("zip_code_prefix"),
            pl.col("customer_city").last().alias("city"),
            pl.col("customer_state").last().alias("state"),
            address.n_unique().alias("address_count"),
            pl.col(bought).count().alias("order_count"),
            day(bought).min().alias("first_order_date"),
            day(bought).max().alias("last_order_date"),
        )
    )


def dim_seller(frames: Frames) -> pl.DataFrame:
    names = {f"seller_{name}": name for name in ("zip_code_prefix", "city", "state")}
    return frames["sellers"].rename(names).select("seller_id", *names.values())


def dim_product(frames: Frames) -> pl.DataFrame:
    translation = frames["product_category_name_translation"]
    english, portuguese = pl.col("product_category_name_english"), pl.col("product_category_name")
    return (
        frames["products"]
        .join(translation, on="product_category_name", how="left")
        .select(
            "product_id",
            pl.coalesce(english, portuguese, pl.lit("uncategorised")).alias("category"),
            portuguese.alias("category_portuguese"),
            english.alias("category_english"),
            pl.col("product_name_lenght").alias("name_length"),
            pl.col("product_description_lenght").alias("description_length"),
            pl.col("product_photos_qty").alias("photo_count"),
            pl.col("product_weight_g").alias("weight_g"),
            pl.col("product_length_cm").alias("length_cm"),
            pl.col("product_height_cm").alias("height_cm"),
            pl.col("product_width_cm").alias("width_cm"),
            pl.col("product_length_cm")
            .cast(pl.Int64)
            .mul(pl.col("product_height_cm"))
            .mul(pl.col("product_width_cm"))
            .alias("volume_cm3"),
        )
    )


def dim_place(frames: Frames) -> pl.DataFrame:
    names = ["zip_code_prefix", "city", "state"]
    known = frames["geolocation"].select(
        *(pl.col(f"geolocation_{name}").alias(name) for name in names),
        pl.col("geolocation_lat").alias("latitude"),
        pl.col("geolocation_lng").alias("longitude"),
    )
    named = pl.concat(
        frames[f"{kind}s"].select(pl.col(f"{kind}_{name}").alias(name) for name in names)
        for kind in ("customer", "seller")
    )
    unknown = (
        named.join(known, on="zip_code_prefix", how="anti")
        .group_by(names)
        .len()
        .sort("len", "city", "state", descending=[True, False, False])
        .unique("zip_code_prefix", keep="first", maintain_order=True)
        .select(*names, pl.lit(None, pl.Float64).alias("latitude"), pl.lit(None, pl.Float64).alias("longitude"))
    )
    return pl.concat([known, unknown])


def dim_date(frames: Frames) -> pl.DataFrame:
    orders, reviews = frames["orders"], frames["order_reviews"]
    days = pl.concat(
        [
            orders.select(day(name).alias("date"))
            for name in ("order_purchase_timestamp", "order_delivered_customer_date", "order_estimated_delivery_date")
        ]
        + [reviews.select(day("review_creation_date").alias("date"))]
    )
    first, last = (days.select(end).item() for end in (pl.col("date").min(), pl.col("date").max()))
    date = pl.col("date")
    return pl.select(pl.date_range(pl.date(first.year, 1, 1), pl.date(last.year, 12, 31), "1d").alias("date")).select(
        "date",
        date.dt.year().alias("year"),
        date.dt.quarter().alias("quarter"),
        date.dt.month().alias("month"),
        date.dt.strftime("%B").alias("month_name"),
        date.dt.strftime("%Y-%m").alias("year_month"),
        date.dt.iso_year().alias("iso_year"),
        date.dt.week().alias("iso_week"),
        date.dt.day().alias("day_of_month"),
        date.dt.weekday().alias("day_of_week"),
        date.dt.strftime("%A").alias("day_name"),
        (date.dt.weekday() >= 6).alias("is_weekend"),
    )


ORACLES = {
    oracle.__name__: oracle
    for oracle in (
        fact_orders,
        fact_order_items,
        fact_payments,
        fact_reviews,
        dim_customer,
        dim_seller,
        dim_product,
        dim_place,
        dim_date,
    )
}
GRAINS = {
    "fact_orders": ("order_id",),
    "fact_order_items": ("order_id", "order_item_id"),
    "fact_payments": ("order_id", "payment_sequential"),
    "fact_reviews": ("review_id", "order_id"),
    "dim_customer": ("customer_unique_id",),
    "dim_seller": ("seller_id",),
    "dim_product": ("product_id",),
    "dim_place": ("zip_code_prefix",),
    "dim_date": ("date",),
}
