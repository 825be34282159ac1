"""What happens to one table's rows and when: every change of every row, and the row as it is after each.

A history is two pure functions over frames, so that Kafka and the shop's database can be fed from the same one:
`moments` says which changes there are (one line each, small), `images` gives the rows after them (as wide as the
table, asked for in chunks). The last image of a row is its CSV line to the letter, whatever its dates contradict.

- An order is created, then each date it has is one update at that date, in the order of the dates, but never before
  the purchase. Its status goes along `olist.order_status.COURSE` as far as the dates seen, never past the status it
  ends in. A status that no date tells of (canceled, invoiced, delivered without a date) comes last, at the last known
  date: no time is made up.
- A review is created with its score, which is never null, then answered: title, message and answer time come as one
  update. One that is never answered is created whole. Neither happens before its order was placed.
- Everything else is created once.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from olist.contracts import Contract
from olist.order_status import APPROVED, COURSE, DELIVERED, SHIPPED, rank
from olist.source.typed import ColumnNames
from olist.tables import ORDER_REVIEWS, ORDERS

# A moment: the row's index in its frame, which change of it, when, and the change before it (null at its creation).
ROW, STAGE, EVENT_US, PREVIOUS_STAGE, PREVIOUS_US = "row", "stage", "event_us", "previous_stage", "previous_us"
CREATION = 0
# What `moments` is asked with: each row's index and the earliest time that its parents allow.
FROM_US = "from_us"


@dataclass(frozen=True)
class RowHistory:
    """The history of a table whose rows are created and never changed."""

    contract: Contract

    def moments(self, frame: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
        """Every change of every row: `ROW`, `STAGE`, `EVENT_US`, `PREVIOUS_STAGE`, `PREVIOUS_US`.

        `starts` has `ROW` and `FROM_US`, the earliest time at which the row can be there.
        """
        return _linked(self._moments(frame, starts))

    def images(self, frame: pl.DataFrame, moments: pl.DataFrame) -> pl.DataFrame:
        """The rows as they are right after the moments, in the moments' order and the contract's columns."""
        at = moments.select(STAGE, EVENT_US).rename({STAGE: _AT_STAGE, EVENT_US: _AT_US})
        rows = pl.concat([frame[moments[ROW]], at], how="horizontal")
        return rows.with_columns(self._changed()).select(frame.columns)

    def _moments(self, _frame: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
        return _at(starts, CREATION, pl.col(FROM_US))

    def _changed(self) -> list[pl.Expr]:
        return []


@dataclass(frozen=True)
class OrderHistory(RowHistory):
    """Created, approved, handed to the carrier, delivered; or closed before that."""

    contract: Contract = ORDERS

    def _moments(self, frame: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
        orders = pl.concat([frame, starts], how="horizontal")
        dated = [
            _at(orders.filter(pl.col(date).is_not_null()), stage, _not_before_purchase(date))
            for stage, (date, _status) in DATED.items()
        ]
        reached = pl.max_horizontal(
            pl.when(pl.col(date).is_not_null()).then(rank(status)).otherwise(0) for date, status in DATED.values()
        )
        last = pl.max_horizontal(pl.col(FROM_US), *(date for date, _status in DATED.values()))
        closed = _at(orders.filter(_final_rank() > reached), CLOSING, last)
        return pl.concat([_at(orders, CREATION, pl.col(FROM_US)), *dated, closed])

    def _changed(self) -> list[pl.Expr]:
        known = {date: _known(stage, date) for stage, (date, _status) in DATED.items()}
        reached = pl.max_horizontal(
            pl.when(known[date]).then(rank(status)).otherwise(0) for date, status in DATED.values()
        )
        on_course = pl.min_horizontal(reached, _final_rank()).replace_strict(
            dict(enumerate(COURSE)), default=None, return_dtype=pl.String
        )
        ended = (pl.col(_AT_STAGE) == CLOSING) | (reached >= _final_rank())
        final = pl.col(_ORDER.order_status)
        status = pl.when(ended).then(final).otherwise(on_course).alias(_ORDER.order_status)
        return [status, *(pl.when(here).then(pl.col(date)).alias(date) for date, here in known.items())]


@dataclass(frozen=True)
class ReviewHistory(RowHistory):
    """Asked for, then answered."""

    contract: Contract = ORDER_REVIEWS

    def _moments(self, frame: pl.DataFrame, starts: pl.DataFrame) -> pl.DataFrame:
        reviews = pl.concat([frame, starts], how="horizontal")
        asked = pl.max_horizontal(pl.col(FROM_US), pl.col(_REVIEW.review_creation_date))
        answered = pl.col(_REVIEW.review_answer_timestamp)
        later = _at(reviews.filter(answered.is_not_null()), ANSWERED, pl.max_horizontal(asked, answered))
        return pl.concat([_at(reviews, CREATION, asked), later])

    def _changed(self) -> list[pl.Expr]:
        waiting = (pl.col(_AT_STAGE) == CREATION) & pl.col(_REVIEW.review_answer_timestamp).is_not_null()
        answer = (_REVIEW.review_comment_title, _REVIEW.review_comment_message, _REVIEW.review_answer_timestamp)
        return [pl.when(~waiting).then(pl.col(name)).alias(name) for name in answer]


_ORDER = ColumnNames(ORDERS)
_REVIEW = ColumnNames(ORDER_REVIEWS)
_AT_STAGE, _AT_US = "at_stage", "at_us"

# Stage -> the date that tells of it, and the status that an order on its course then has.
DATED: dict[int, tuple[str, str]] = {
    1: (_ORDER.order_approved_at, APPROVED),
    2: (_ORDER.order_delivered_carrier_date, SHIPPED),
    3: (_ORDER.order_delivered_customer_date, DELIVERED),
}
CLOSING = 4
ANSWERED = 1


def history_of(contract: Contract) -> RowHistory:
    """The history of a table's rows."""
    if contract is ORDERS:
        return OrderHistory()
    return ReviewHistory() if contract is ORDER_REVIEWS else RowHistory(contract)


def _at(rows: pl.DataFrame, stage: int, when: pl.Expr) -> pl.DataFrame:
    return rows.select(ROW, pl.lit(stage, pl.Int8).alias(STAGE), when.alias(EVENT_US))


def _linked(moments: pl.DataFrame) -> pl.DataFrame:
    """In the order of each row's history, with the moment before each."""
    ordered = moments.sort(ROW, EVENT_US, STAGE)
    same_row = pl.col(ROW) == pl.col(ROW).shift(1)
    return ordered.with_columns(
        pl.when(same_row).then(pl.col(STAGE).shift(1)).alias(PREVIOUS_STAGE),
        pl.when(same_row).then(pl.col(EVENT_US).shift(1)).alias(PREVIOUS_US),
    )


def _not_before_purchase(date: str) -> pl.Expr:
    return pl.max_horizontal(pl.col(date), pl.col(_ORDER.order_purchase_timestamp))


def _known(stage: int, date: str) -> pl.Expr:
    """Whether a date's stage is behind or at the moment asked for; ties go by stage, as the moments are sorted."""
    when = _not_before_purchase(date)
    passed = (when < pl.col(_AT_US)) | ((when == pl.col(_AT_US)) & (pl.col(_AT_STAGE) >= stage))
    return pl.col(date).is_not_null() & passed


def _final_rank() -> pl.Expr:
    ranks = {status: rank(status) for status in COURSE}
    return pl.col(_ORDER.order_status).replace_strict(ranks, default=len(COURSE), return_dtype=pl.Int32)
