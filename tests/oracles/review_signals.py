"""A row per review from the CSV files, said again in Polars.

Lengths, lateness and joins are computed here from the words of the contract. Topics and language are the lexicon's own:
what it finds is held by examples in `tests/unit/test_lexicon.py`; here they show that the right text reached it.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from stream_apps.apps.lexicon.complaints import NAMES, topics
from stream_apps.apps.lexicon.language import language
from tests.oracles.files import csv, moment, order_dates


def signals(data: Path) -> pl.DataFrame:
    """The contract's columns, sorted by key; of a zip or a folder."""
    reviews = csv(data, "order_reviews").with_columns(
        pl.col("review_score").cast(pl.Int64),
        moment("review_creation_date"),
        pl.col("review_comment_title", "review_comment_message").fill_null("").str.strip_chars(),
    )
    joined = reviews.join(order_dates(data), on="order_id", how="left")
    said = pl.concat_str("review_comment_title", "review_comment_message", separator="\n")
    about = said.map_elements(lambda text: " ".join(topics(text)), return_dtype=pl.String, skip_nulls=False)
    message = pl.col("review_comment_message")
    return (
        joined.with_columns(about.alias("topics"))
        .select(
            "review_id",
            "order_id",
            "review_score",
            "review_creation_date",
            said.map_elements(language, return_dtype=pl.String, skip_nulls=False).alias("language"),
            message.str.len_chars().cast(pl.Int64).alias("characters"),
            message.str.normalize("NFKD")
            .str.replace_all(r"\p{M}", "")
            .str.count_matches(r"[\p{L}\p{N}]+")
            .cast(pl.Int64)
            .alias("words"),
            (pl.col("review_comment_title") != "").cast(pl.Int64).alias("has_title"),
            "topics",
            *(pl.col("topics").str.split(" ").list.contains(name).cast(pl.Int64).alias(name) for name in NAMES),
            "order_status",
            pl.col("delivered").is_not_null().cast(pl.Int64).alias("delivered"),
            (_date("delivered") - _date("estimated")).dt.total_days().alias("days_late"),
            (_date("review_creation_date") - _date("delivered")).dt.total_days().alias("days_to_review"),
        )
        .sort("review_id", "order_id")
    )


def _date(micros: str) -> pl.Expr:
    """The calendar day of a time."""
    return pl.from_epoch(micros, time_unit="us").dt.date()
