"""The life of an order: whatever its dates say, it ends as its CSV row, and each update starts where the last ended."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.contracts import Contract, Row
from olist.order_status import CLOSED, COURSE, MOVES, may_move, rank
from olist.source import iter_rows
from olist.source.typed import frame_schema
from olist.tables import ORDER_REVIEWS, ORDERS, Order, OrderReview
from producers.row_histories import EVENT_US, FROM_US, PREVIOUS_STAGE, PREVIOUS_US, ROW, STAGE, history_of
from tests.unit.producers_dataset import at

TIMES = st.integers(min_value=at(-3), max_value=at(3)) | st.sampled_from([at(0), at(1)])
STATUSES = st.sampled_from([*COURSE, *CLOSED]) | st.text(max_size=5)
ORDER_ROWS = st.builds(
    Order,
    order_id=st.uuids().map(str),
    customer_id=st.text(max_size=3),
    order_status=STATUSES,
    order_purchase_timestamp=TIMES,
    order_approved_at=st.none() | TIMES,
    order_delivered_carrier_date=st.none() | TIMES,
    order_delivered_customer_date=st.none() | TIMES,
    order_estimated_delivery_date=TIMES,
)
REVIEW_ROWS = st.builds(
    OrderReview,
    review_id=st.uuids().map(str),
    order_id=st.just("o"),
    review_score=st.integers(1, 5),
    review_comment_title=st.none() | st.text(max_size=5),
    review_comment_message=st.none() | st.text(max_size=5),
    review_creation_date=TIMES,
    review_answer_timestamp=st.none() | TIMES,
)


def frame_of(contract: Contract, rows: list[Any]) -> pl.DataFrame:
    values = [[getattr(row, column.name) for column in contract.columns] for row in rows]
    return pl.DataFrame(values, schema=frame_schema(contract), orient="row")


Lives = dict[int, list[tuple[int, Row | None, Row]]]


def lives_of(contract: Contract, rows: list[Any], starts: list[int]) -> Lives:
    """Row index -> (event time, before, after) of each change, in order."""
    frame = frame_of(contract, rows)
    start = pl.DataFrame({ROW: range(len(rows)), FROM_US: starts}, schema={ROW: pl.UInt32, FROM_US: pl.Int64})
    history = history_of(contract)
    moments = history.moments(frame, start)
    after = iter_rows(contract, history.images(frame, moments))
    updates = moments.filter(pl.col(PREVIOUS_STAGE).is_not_null())
    previous = updates.select(ROW, pl.col(PREVIOUS_STAGE).alias(STAGE), pl.col(PREVIOUS_US).alias(EVENT_US))
    before = iter_rows(contract, history.images(frame, previous))
    lives: Lives = defaultdict(list)
    for index, event_us, update, row in zip(
        moments[ROW], moments[EVENT_US], moments[PREVIOUS_STAGE].is_not_null(), after, strict=True
    ):
        lives[index].append((event_us, next(before) if update else None, row))
    return lives


def check_life(rows: list[Any], lives: Lives) -> None:
    assert sorted(lives) == list(range(len(rows)))
    for index, changes in lives.items():
        times = [event_us for event_us, _before, _after in changes]
        assert times == sorted(times)
        assert changes[0][1] is None
        assert [before for _t, before, _a in changes[1:]] == [after for _t, _b, after in changes[:-1]]
        assert all(before != after for _t, before, after in changes)
        assert changes[-1][2] == rows[index]


@settings(deadline=None)
@given(st.lists(ORDER_ROWS, min_size=1, max_size=8))
def test_any_order_ends_as_its_row_and_each_update_starts_where_the_last_ended(rows: list[Order]) -> None:
    check_life(rows, lives_of(ORDERS, rows, [row.order_purchase_timestamp for row in rows]))


@settings(deadline=None)
@given(st.lists(ORDER_ROWS, min_size=1, max_size=8))
def test_a_status_only_ever_moves_as_the_table_allows(rows: list[Order]) -> None:
    for changes in lives_of(ORDERS, rows, [row.order_purchase_timestamp for row in rows]).values():
        statuses = [after.order_status for _t, _b, after in changes if isinstance(after, Order)]
        moved = [(old, new) for old, new in pairwise(statuses) if old != new]
        assert all(may_move(old, new) for old, new in moved), moved


@settings(deadline=None)
@given(st.lists(REVIEW_ROWS, min_size=1, max_size=8), TIMES)
def test_any_review_ends_as_its_row_and_never_precedes_its_order(rows: list[OrderReview], placed: int) -> None:
    lives = lives_of(ORDER_REVIEWS, rows, [placed] * len(rows))
    check_life(rows, lives)
    assert all(changes[0][0] >= placed for changes in lives.values())


def test_a_delivered_order_is_created_approved_shipped_and_delivered_at_its_dates() -> None:
    row = Order("o", "c", "delivered", at(0), at(0.1), at(2), at(7), at(20))
    (changes,) = lives_of(ORDERS, [row], [at(0)]).values()
    assert [(t, after.order_status) for t, _b, after in changes if isinstance(after, Order)] == [
        (at(0), "created"),
        (at(0.1), "approved"),
        (at(2), "shipped"),
        (at(7), "delivered"),
    ]


def test_an_order_handed_over_before_its_approval_keeps_its_dates_and_never_goes_back() -> None:
    row = Order("o", "c", "delivered", at(0), at(3), at(-1), at(7), at(20))
    (changes,) = lives_of(ORDERS, [row], [at(0)]).values()
    assert [(t, after.order_status) for t, _b, after in changes if isinstance(after, Order)] == [
        (at(0), "created"),
        (at(0), "shipped"),
        (at(3), "shipped"),
        (at(7), "delivered"),
    ]


def test_a_cancelled_order_closes_at_its_last_known_date() -> None:
    rows = [
        Order("o", "c", "canceled", at(0), at(1), None, None, at(20)),
        Order("p", "c", "canceled", at(0), None, None, None, at(20)),
        Order("q", "c", "canceled", at(0), at(1), at(2), at(5), at(20)),
    ]
    lives = lives_of(ORDERS, rows, [at(0)] * 3)
    closings = [(lives[i][-1][0], lives[i][-2][2]) for i in range(3)]
    assert [(t, row.order_status) for t, row in closings if isinstance(row, Order)] == [
        (at(1), "approved"),
        (at(0), "created"),
        (at(5), "delivered"),
    ]


def test_a_delivered_order_without_a_date_is_delivered_at_its_last_known_one() -> None:
    row = Order("o", "c", "delivered", at(0), at(1), at(2), None, at(20))
    (changes,) = lives_of(ORDERS, [row], [at(0)]).values()
    assert [t for t, _b, _a in changes] == [at(0), at(1), at(2), at(2)]


def test_a_review_is_answered_with_its_comment() -> None:
    row = OrderReview("r", "o", 5, "10", "bom", at(1), at(2))
    (changes,) = lives_of(ORDER_REVIEWS, [row], [at(0)]).values()
    assert changes[0][2] == OrderReview("r", "o", 5, None, None, at(1), None)
    assert [t for t, _b, _a in changes] == [at(1), at(2)]


def test_a_review_without_an_answer_is_created_whole() -> None:
    row = OrderReview("r", "o", 5, "10", "bom", at(1), None)
    (changes,) = lives_of(ORDER_REVIEWS, [row], [at(0)]).values()
    assert changes == [(at(1), None, row)]


def test_the_moves_table_and_the_course_tell_the_same() -> None:
    assert set(MOVES) == {*COURSE, *CLOSED}
    for old in COURSE:
        assert set(MOVES[old]) == {new for new in (*COURSE, *CLOSED) if rank(new) > rank(old)}
    assert not any(MOVES[status] for status in CLOSED)
