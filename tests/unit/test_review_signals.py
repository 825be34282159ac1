"""A review's row: what its text says, and how late its order was; the order in which they come does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from olist.changes import Change, Position, codec
from olist.contracts import Contract, Row
from olist.tables import ORDER_REVIEWS, ORDERS, Order, OrderReview
from stream_apps.apps.lexicon.complaints import NAMES
from stream_apps.apps.review_signals import APP, REVIEW_SIGNALS, ReviewSignal, State
from tests.unit.producers_dataset import DAY, NOON, at

KEY = ("", "o0")
INPUTS = {given.contract.table: given for given in APP.reads}


def order(delivered: int | None, status: str = "delivered") -> Order:
    return Order("o0", "c0", status, at(0), at(0.1), at(1), delivered, at(10) // DAY * DAY)


def review(message: str | None = None, title: str | None = None, review_id: str = "r0") -> OrderReview:
    return OrderReview(review_id, "o0", 1, title, message, at(9) // DAY * DAY, at(12))


def changed(contract: Contract, row: Row) -> Change:
    return Change("u", codec(contract).key_of(row), row, Position(contract.table, 0, 0), NOON)


def gone(contract: Contract, *key: str) -> Change:
    return Change("d", key, None, Position(contract.table, 0, 0), 0)


def rows_after(changes: Iterable[Change]) -> list[ReviewSignal]:
    """The rows after some changes, with the state written down and read back after each."""
    state = State()
    for change in changes:
        state = APP.fold(state, INPUTS[change.position.topic], change)
        state = msgspec.json.decode(msgspec.json.encode(state), type=State)
    return [row for _contract, row in APP.rows(KEY, state, 0) if isinstance(row, ReviewSignal)]


def row_of(*changes: Change) -> ReviewSignal:
    (row,) = rows_after(changes)
    return row


def test_a_review_is_there_before_its_order_without_the_orders_facts() -> None:
    row = row_of(changed(ORDER_REVIEWS, review("Não recebi")))
    assert (row.review_id, row.order_id, row.review_score, row.not_received) == ("r0", "o0", 1, 1)
    assert (row.order_status, row.delivered, row.days_late, row.days_to_review) == (None, None, None, None)


def test_an_order_without_reviews_has_no_row() -> None:
    assert rows_after([changed(ORDERS, order(at(7)))]) == []


def test_an_early_delivery_is_a_negative_lateness() -> None:
    row = row_of(changed(ORDER_REVIEWS, review()), changed(ORDERS, order(at(7))))
    assert (row.delivered, row.days_late, row.days_to_review, row.order_status) == (1, -3, 2, "delivered")


def test_nothing_is_late_at_any_hour_of_the_estimated_day() -> None:
    last_moment = at(10) // DAY * DAY + DAY - 1
    assert row_of(changed(ORDER_REVIEWS, review()), changed(ORDERS, order(last_moment))).days_late == 0
    assert row_of(changed(ORDER_REVIEWS, review()), changed(ORDERS, order(last_moment + 1))).days_late == 1


def test_an_order_on_its_way_is_not_delivered_and_not_late() -> None:
    row = row_of(changed(ORDERS, order(None, "shipped")), changed(ORDER_REVIEWS, review()))
    assert (row.delivered, row.days_late, row.days_to_review, row.order_status) == (0, None, None, "shipped")


def test_a_review_asked_for_before_the_delivery_has_negative_days() -> None:
    assert row_of(changed(ORDER_REVIEWS, review()), changed(ORDERS, order(at(11)))).days_to_review == -2


def test_lengths_are_of_the_message_and_topics_of_the_title_too() -> None:
    row = row_of(changed(ORDER_REVIEWS, review("  Não gostei 😀 ", "Produto errado")))
    assert (row.characters, row.words, row.has_title) == (12, 2, 1)
    assert (row.topics, row.wrong_product, row.language) == ("wrong_product", 1, "pt")


def test_a_review_without_a_text_says_nothing() -> None:
    row = row_of(changed(ORDER_REVIEWS, review(None, "  ")))
    assert (row.characters, row.words, row.has_title, row.topics, row.language) == (0, 0, 0, "", "none")


def test_the_flags_are_the_topics() -> None:
    row = row_of(changed(ORDER_REVIEWS, review("atrasou. veio quebrado. ninguém responde")))
    assert [name for name in NAMES if getattr(row, name)] == row.topics.split()
    assert row.topics == "damaged late_delivery seller_contact"


def test_a_deleted_review_has_no_row_and_leaves_nothing_behind() -> None:
    state = State()
    for change in (changed(ORDER_REVIEWS, review()), gone(ORDER_REVIEWS, "r0", "o0")):
        state = APP.fold(state, INPUTS[change.position.topic], change)
    assert state == State()


def test_a_deleted_order_takes_its_facts_along() -> None:
    row = row_of(changed(ORDERS, order(at(7))), changed(ORDER_REVIEWS, review()), gone(ORDERS, "o0"))
    assert (row.delivered, row.order_status) == (None, None)


ORDER_LIVES = st.lists(
    st.builds(lambda day: changed(ORDERS, order(at(day))), st.integers(0, 20)) | st.just(gone(ORDERS, "o0")), max_size=4
)


def review_lives(review_id: str) -> st.SearchStrategy[list[Change]]:
    texts = st.sampled_from(["não recebi", "veio quebrado", "ótimo", None])
    written = st.builds(lambda text: changed(ORDER_REVIEWS, review(text, None, review_id)), texts)
    return st.lists(written | st.just(gone(ORDER_REVIEWS, review_id, "o0")), max_size=4)


@given(st.data(), ORDER_LIVES, review_lives("r0"), review_lives("r1"))
def test_any_interleaving_of_the_topics_ends_in_the_same_rows(
    data: st.DataObject, orders: list[Change], first: list[Change], second: list[Change]
) -> None:
    lives = [orders, first, second]
    turns = data.draw(st.permutations([n for n, life in enumerate(lives) for _ in life]))
    assert rows_after(interleaved(lives, turns)) == rows_after([*orders, *first, *second])


@given(ORDER_LIVES, review_lives("r0"))
def test_a_change_that_comes_twice_changes_nothing(orders: list[Change], reviews: list[Change]) -> None:
    changes = [*orders, *reviews]
    assert rows_after(change for change in changes for _ in range(2)) == rows_after(changes)


def interleaved(lives: Sequence[list[Any]], turns: Sequence[int]) -> list[Any]:
    """One from the life whose turn it is, each in its own order."""
    next_of = [count() for _ in lives]
    return [lives[turn][next(next_of[turn])] for turn in turns]


def test_the_contract_goes_to_every_target() -> None:
    assert REVIEW_SIGNALS.key == ORDER_REVIEWS.key
    assert REVIEW_SIGNALS.targets == ("iceberg", "postgres", "opensearch")
    assert set(NAMES) < {column.name for column in REVIEW_SIGNALS.columns}
