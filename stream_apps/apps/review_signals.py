"""Reviews as numbers: what a text is about, and how late the order was.

Reads: `order_reviews` and `orders`, both by order_id.
Writes: `review_signals`, a row per review and order: one of `order_reviews` without its text.
State: per order, its reviews' rows without texts (about 400 bytes each) and three facts of the order, for as long as
they live; a deleted review leaves at once, a deleted order's facts too.
Guarantee: effectively once; the rows are a function of the latest row of each review and order, whatever the order in
which they come. A review is there before its order is, without the order's facts.

Topics are one column of 0 and 1 each: every engine sums and averages them (``avg(late_delivery)`` is a share), filters
by them, and takes a further topic as an added optional column. `topics` holds the same as one text to read and to group
by. How topics and language are found: `lexicon/`. A changed list judges the texts that come after it; those that are
there are judged anew by a rebuild. Raise `LEXICON` with it: a deployed version is a copy of this file.
"""

from __future__ import annotations

from typing import Any

import msgspec

from olist.changes import Change
from olist.contracts import MICROS_PER_SECOND, Contract, Int, Micros, Row, Str
from olist.tables import ORDER_REVIEWS, ORDERS, Order, OrderReview
from stream_apps.app import FaustApp, Input, Key, Out
from stream_apps.apps.lexicon.complaints import NAMES, topics
from stream_apps.apps.lexicon.language import language
from stream_apps.apps.lexicon.words import word_count

LEXICON = 1
DAY_US = 86_400 * MICROS_PER_SECOND


class ReviewSignal(Row):
    """One review of one order; flags are 0 or 1, the last four columns null while the order is not known."""

    review_id: Str
    order_id: Str
    review_score: Int
    review_creation_date: Micros
    language: Str  # of title and message: pt, other, or none where there is no word
    characters: Int  # of the message, without white space around it
    words: Int  # of the message
    has_title: Int
    topics: Str  # sorted, one space between; of title and message
    counterfeit: Int
    damaged: Int
    late_delivery: Int
    missing_part: Int
    not_received: Int
    out_of_stock: Int
    poor_quality: Int
    refund: Int
    seller_contact: Int
    wrong_product: Int
    order_status: Str | None = None
    delivered: Int | None = None
    days_late: Int | None = None  # calendar days from the estimate to the delivery, early is negative; null: not there
    days_to_review: Int | None = None  # calendar days from the delivery to the review; negative: asked for before it


REVIEW_SIGNALS = Contract(
    "review_signals",
    ReviewSignal,
    key=("review_id", "order_id"),
    event_time="review_creation_date",
    sort_by=("review_creation_date",),
)


class OrderFacts(msgspec.Struct):
    """What a review's row needs of its order."""

    status: str
    estimated: int
    delivered: int | None


class State(msgspec.Struct):
    """One order's reviews by review_id, and the order when it is known."""

    reviews: dict[str, ReviewSignal] = {}
    order: OrderFacts | None = None


def of_text(review: OrderReview) -> ReviewSignal:
    """What a review says by itself."""
    title = (review.review_comment_title or "").strip()
    message = (review.review_comment_message or "").strip()
    said = f"{title}\n{message}"
    about = topics(said)
    flags: dict[str, Any] = {name: int(name in about) for name in NAMES}
    return ReviewSignal(
        review_id=review.review_id,
        order_id=review.order_id,
        review_score=review.review_score,
        review_creation_date=review.review_creation_date,
        language=language(said),
        characters=len(message),
        words=word_count(message),
        has_title=int(bool(title)),
        topics=" ".join(about),
        **flags,
    )


def with_order(signal: ReviewSignal, order: OrderFacts) -> ReviewSignal:
    """The row with its order's part."""
    delivered = order.delivered
    return msgspec.structs.replace(
        signal,
        order_status=order.status,
        delivered=int(delivered is not None),
        days_late=None if delivered is None else days_between(order.estimated, delivered),
        days_to_review=None if delivered is None else days_between(delivered, signal.review_creation_date),
    )


def days_between(start_us: int, end_us: int) -> int:
    """Calendar days, as a customer counts them: an estimate is a date, at any hour of it nothing is late."""
    return end_us // DAY_US - start_us // DAY_US


def fold(state: State, _source: Input, change: Change) -> State:
    """The latest row of each review, and of the order."""
    match change.row:
        case OrderReview() as review:
            state.reviews[review.review_id] = of_text(review)
        case Order() as order:
            state.order = OrderFacts(
                order.order_status, order.order_estimated_delivery_date, order.order_delivered_customer_date
            )
        case _ if len(change.key) == len(ORDER_REVIEWS.key):
            state.reviews.pop(change.key[0], None)
        case _:
            state.order = None
    return state


def rows(_key: Key, state: State, _clock_us: int) -> list[Out]:
    """A row per review."""
    order = state.order
    signals = (state.reviews[review_id] for review_id in sorted(state.reviews))
    return [(REVIEW_SIGNALS, signal if order is None else with_order(signal, order)) for signal in signals]


APP = FaustApp(
    name="review_signals",
    reads=(Input(ORDER_REVIEWS, by=("order_id",)), Input(ORDERS, by=("order_id",))),
    writes=(REVIEW_SIGNALS,),
    state=State,
    fold=fold,
    rows=rows,
)
