"""The CSV files as Polars reads them: text, and dates as microseconds; independent of how the platform reads them."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import polars as pl

TABLES = [
    "customers",
    "orders",
    "order_items",
    "order_payments",
    "order_reviews",
    "products",
    "sellers",
    "product_category_name_translation",
]
MOMENTS = re.compile("_(timestamp|at|date)$")
MONEY = re.compile("^(price|freight_value|payment_value)$")
NUMBERS = re.compile("(_item_id|_sequential|_installments|_score|_lenght|_qty|_g|_cm)$")


def tables(data: Path) -> dict[str, pl.DataFrame]:
    """Every table but geolocation: dates as microseconds, money as decimals, counts and sizes as integers."""
    return {table: _typed(csv(data, table)) for table in TABLES}


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    names = frame.columns
    return frame.with_columns(
        *(moment(name) for name in names if MOMENTS.search(name)),
        *(pl.col(name).cast(pl.Decimal(12, 2)) for name in names if MONEY.search(name)),
        *(pl.col(name).cast(pl.Int64) for name in names if NUMBERS.search(name)),
    )


def csv(data: Path, table: str) -> pl.DataFrame:
    """One table's file from Kaggle's zip or an unpacked folder, every column as text, an empty field as null."""
    name = f"{table}.csv" if table == "product_category_name_translation" else f"olist_{table}_dataset.csv"
    if data.is_dir():
        return pl.read_csv((data / name).read_bytes(), infer_schema=False)
    with zipfile.ZipFile(data) as archive:
        member = next(member for member in archive.namelist() if Path(member).name == name)
        return pl.read_csv(archive.read(member), infer_schema=False)


def moment(column: str) -> pl.Expr:
    """Microseconds since 1970 of a date and time."""
    return pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us").dt.epoch("us")


def order_dates(data: Path) -> pl.DataFrame:
    """`order_id`, `customer_id`, `order_status`, and when it was `placed`, `approved`, `handed` over, `delivered`,
    and is `estimated` to be, in microseconds."""
    return csv(data, "orders").select(
        "order_id",
        "customer_id",
        "order_status",
        moment("order_purchase_timestamp").alias("placed"),
        moment("order_approved_at").alias("approved"),
        moment("order_delivered_carrier_date").alias("handed"),
        moment("order_delivered_customer_date").alias("delivered"),
        moment("order_estimated_delivery_date").alias("estimated"),
    )
