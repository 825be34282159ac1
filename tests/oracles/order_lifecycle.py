"""Order lifecycles and alerts computed from the CSV files by whole columns, with no state, timers or changes."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tests.oracles.files import csv, moment, order_dates

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
COURSE = ["created", "approved", "invoiced", "processing", "shipped", "delivered"]
CLOSED = ["canceled", "unavailable"]
RANKS = {name: at for at, name in enumerate(COURSE)}


def lifecycles(data: Path) -> pl.DataFrame:
    """One row per order, by order."""
    moves = _moves(order_dates(data))
    left = pl.col("at").shift(-1).over("order_id", order_by="nth")
    spent = moves.with_columns(((left - pl.col("at")) // 1_000_000).alias("seconds"))
    wide = spent.pivot("status", index="order_id", values="seconds", aggregate_function="first")
    missing = [pl.lit(None, pl.Int64).alias(name) for name in COURSE if name not in wide.columns]
    seconds = wide.with_columns(missing).select("order_id", *(pl.col(s).alias(f"{s}_s") for s in COURSE[:-1]))
    ways = (
        moves.sort("order_id", "nth")
        .group_by("order_id", maintain_order=True)
        .agg(pl.col("status").str.join(" > ").alias("moves"), pl.col("at").last().alias("last_at"))
    )
    open_alerts = alerts(data).filter(pl.col("cleared_at").is_null()).group_by("order_id").agg(pl.len().alias("open"))
    ended = pl.col("order_status").is_in(["delivered", *CLOSED])
    return (
        order_dates(data)
        .join(ways, on="order_id")
        .join(seconds, on="order_id")
        .join(open_alerts, on="order_id", how="left")
        .select(
            "order_id",
            "order_status",
            pl.col("placed").alias("order_purchase_timestamp"),
            "moves",
            pl.lit(0).alias("illegal_moves"),
            *(f"{status}_s" for status in COURSE[:-1]),
            pl.when(ended).then("last_at").alias("ended_at"),
            pl.col("open").fill_null(0).cast(pl.Int64).alias("open_alerts"),
        )
        .sort("order_id")
    )


def alerts(data: Path) -> pl.DataFrame:
    """One row per alert, by order and kind, once all the files' events have passed."""
    dates = order_dates(data)
    now = last_event_us(data)
    held = dates.filter(~pl.col("order_status").is_in(CLOSED))
    handed = pl.coalesce("handed", "delivered")
    approved = _breaches(held, now, "not_approved", pl.col("placed") + 48 * HOUR_US, pl.coalesce("approved", handed))
    promised = (pl.col("estimated") // DAY_US + 1) * DAY_US - 1  # the end of that day
    delivered = _breaches(held, now, "not_delivered", promised, pl.col("delivered"))
    late = (
        csv(data, "order_items")
        .select("order_id", pl.col("order_item_id").cast(pl.Int64), moment("shipping_limit_date").alias("limit"))
        .join(held, on="order_id")
        .filter((handed > pl.col("limit")).fill_null(pl.col("limit") <= now))
        .sort("order_id", "order_item_id")
        .group_by("order_id", maintain_order=True)
        .agg(
            pl.lit("not_handed_over").alias("kind"),
            pl.col("limit").min().alias("raised_at"),
            handed.first().alias("cleared_at"),
            pl.col("order_item_id").cast(pl.String).str.join(", ").alias("items"),
        )
    )
    return pl.concat([approved, late, delivered]).sort("order_id", "kind")


def last_event_us(data: Path) -> int:
    """The time of the last thing that happened to an order: a date before the purchase counts as the purchase."""
    dates = order_dates(data)
    return int(dates.select(pl.max_horizontal("placed", "approved", "handed", "delivered").max()).item())


def _breaches(orders: pl.DataFrame, now: int, kind: str, deadline: pl.Expr, met: pl.Expr) -> pl.DataFrame:
    return orders.filter((met > deadline).fill_null(deadline <= now)).select(
        "order_id",
        pl.lit(kind).alias("kind"),
        deadline.alias("raised_at"),
        met.alias("cleared_at"),
        pl.lit(None, pl.String).alias("items"),
    )


def _moves(dates: pl.DataFrame) -> pl.DataFrame:
    """Each status that each order was in: `order_id`, `status`, `at`, `nth`. A date moves it along the course, never
    past the status it ends in; a status that no date tells of comes last, at the last date."""
    final = pl.col("order_status").replace_strict(RANKS, default=len(COURSE), return_dtype=pl.Int64)
    steps = [("placed", "created"), ("approved", "approved"), ("handed", "shipped"), ("delivered", "delivered")]
    dated = pl.concat(
        [
            dates.select(
                "order_id",
                pl.col("order_status").alias("final_status"),
                final.alias("final"),
                pl.when(pl.col(date).is_not_null()).then(pl.max_horizontal(date, "placed")).alias("at"),
                pl.lit(RANKS[status]).cast(pl.Int64).alias("rank"),
            )
            for date, status in steps
        ]
    ).drop_nulls("at")
    whole = dated.group_by("order_id").agg(
        pl.col("final_status").first(), pl.col("final").first(), pl.col("at").max(), pl.col("rank").max()
    )
    closing = whole.filter(pl.col("final") > pl.col("rank")).with_columns(pl.col("final").alias("rank"))
    ordered = pl.concat([dated, closing.select(dated.columns)]).sort("order_id", "at", "rank")
    reached = pl.min_horizontal(pl.col("rank").cum_max().over("order_id"), "final")
    course = reached.replace_strict(dict(enumerate(COURSE)), default=None, return_dtype=pl.String)
    status = pl.when(reached >= pl.col("final")).then("final_status").otherwise(course).alias("status")
    moved = ordered.with_columns(status).filter(pl.col("status").ne_missing(pl.col("status").shift().over("order_id")))
    return moved.select("order_id", "status", "at", pl.int_range(pl.len()).over("order_id").alias("nth"))
