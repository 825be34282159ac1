"""Violations open when a row breaks a rule, and close when it is mended, deleted, or its parent comes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import count
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olist.changes import Change, Position, codec
from olist.contracts import Contract, Row
from olist.errors import BadRecord
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    CUSTOMERS,
    GEOLOCATION,
    ORDER_ITEMS,
    ORDER_PAYMENTS,
    ORDER_REVIEWS,
    ORDERS,
    PRODUCTS,
    SELLERS,
    TABLES,
    CategoryTranslation,
    Customer,
    Geolocation,
    Order,
    OrderItem,
    OrderPayment,
    OrderReview,
    Product,
    Seller,
)
from stream_apps.apps import quality
from stream_apps.apps.quality import APP, EXPECTATIONS, MOST_WAITING, REFERENCES, RULES, VIOLATIONS, Violation
from tests.folded import Folded
from tests.unit.producers_dataset import at

HOUR = int(quality.GRACE.total_seconds() * 1_000_000)
LATER = at(10_000)
Op = Literal["c", "u", "r", "d"]

PLACE = Geolocation("01001", -23.5, -46.6, "sao paulo", "SP")
TRANSLATION = CategoryTranslation("brinquedos", "toys")
CUSTOMER = Customer("c0", "u0", "01001", "sao paulo", "SP")
SELLER = Seller("s0", "01001", "sao paulo", "SP")
PRODUCT = Product("p0", "brinquedos", 40, 287, 1, 225, 16, 10, 14)
ORDER = Order("o0", "c0", "delivered", at(0), at(0.1), at(1), at(2), at(9))
ITEM = OrderItem("o0", 1, "p0", "s0", at(3), Decimal("9.90"), Decimal("0.00"))
PAYMENT = OrderPayment("o0", 1, "voucher", 1, Decimal("9.90"))
REVIEW = OrderReview("r0", "o0", 5, None, None, at(3), at(4))
SOUND: list[tuple[Contract, Row]] = [
    (GEOLOCATION, PLACE),
    (CATEGORY_TRANSLATIONS, TRANSLATION),
    (CUSTOMERS, CUSTOMER),
    (SELLERS, SELLER),
    (PRODUCTS, PRODUCT),
    (ORDERS, ORDER),
    (ORDER_ITEMS, ITEM),
    (ORDER_PAYMENTS, PAYMENT),
    (ORDER_REVIEWS, REVIEW),
]
_offsets = count()


def changed(contract: Contract, row: Row, op: Op = "c", when: int = at(0)) -> Change:
    return Change(op, codec(contract).key_of(row), row, Position(contract.table, 0, next(_offsets)), when)


def gone(contract: Contract, row: Row) -> Change:
    return Change("d", codec(contract).key_of(row), None, Position(contract.table, 0, next(_offsets)), 0)


def but(row: Row, **values: Any) -> Any:
    return msgspec.structs.replace(row, **values)


def opened(changes: Iterable[Change], clock_us: int = LATER) -> set[tuple[str, str, int | None]]:
    """What is open after some changes: check, table, since when."""
    folded = Folded(APP).take(changes).tick(clock_us)
    rows = [row for row in folded.of(VIOLATIONS).values() if isinstance(row, Violation)]
    return {(row.check_name, row.table_name, row.opened_at) for row in rows}


def shop(*replaced: Row) -> list[Change]:
    """A sound shop with some rows in the place of those of the same kind."""
    kinds = {type(row): row for row in replaced}
    return [changed(contract, kinds.get(type(row), row)) for contract, row in SOUND]


def test_nothing_is_wrong_in_a_sound_shop() -> None:
    assert opened(shop()) == set()


BROKEN = {
    ("unknown_status", "orders"): but(ORDER, order_status="lost"),
    ("approved_before_purchase", "orders"): but(ORDER, order_approved_at=at(-1)),
    ("handed_over_before_purchase", "orders"): but(
        ORDER, order_status="shipped", order_delivered_carrier_date=at(-1), order_approved_at=None
    ),
    ("handed_over_before_approval", "orders"): but(ORDER, order_delivered_carrier_date=at(0.05)),
    ("delivered_before_handover", "orders"): but(ORDER, order_delivered_customer_date=at(0.5)),
    ("delivered_before_purchase", "orders"): but(
        ORDER, order_status="canceled", order_delivered_customer_date=at(-1), order_delivered_carrier_date=None
    ),
    ("estimate_before_purchase", "orders"): but(ORDER, order_estimated_delivery_date=at(-1)),
    ("delivered_without_approval", "orders"): but(ORDER, order_approved_at=None),
    ("shipped_without_handover", "orders"): but(ORDER, order_delivered_carrier_date=None),
    ("delivered_without_date", "orders"): but(ORDER, order_delivered_customer_date=None),
    ("number_below_one", "order_items"): but(ITEM, order_item_id=0),
    ("price_not_positive", "order_items"): but(ITEM, price=Decimal("0.00")),
    ("freight_negative", "order_items"): but(ITEM, freight_value=Decimal("-0.01")),
    ("unknown_payment_type", "order_payments"): but(PAYMENT, payment_type="not_defined"),
    ("installments_below_one", "order_payments"): but(PAYMENT, payment_installments=0),
    ("payment_not_positive", "order_payments"): but(PAYMENT, payment_value=Decimal("0.00")),
    ("score_out_of_range", "order_reviews"): but(REVIEW, review_score=6),
    ("answered_before_asked", "order_reviews"): but(REVIEW, review_answer_timestamp=at(2)),
    ("no_category", "products"): but(PRODUCT, product_category_name=None),
    ("no_description", "products"): but(PRODUCT, product_photos_qty=None),
    ("not_measured", "products"): but(PRODUCT, product_width_cm=None),
    ("measure_not_positive", "products"): but(PRODUCT, product_weight_g=0),
    ("unknown_state", "customers"): but(CUSTOMER, customer_state="XX"),
    ("malformed_zip", "customers"): but(CUSTOMER, customer_zip_code_prefix="1001"),
    ("unknown_state", "sellers"): but(SELLER, seller_state="sp"),
    ("malformed_zip", "sellers"): but(SELLER, seller_zip_code_prefix="0100١"),
    ("unknown_state", "geolocation"): but(PLACE, geolocation_state=""),
    ("malformed_zip", "geolocation"): but(PLACE, geolocation_zip_code_prefix="010011"),
    ("outside_of_brazil", "geolocation"): but(PLACE, geolocation_lat=41.1),
    ("no_english_name", "product_category_name_translation"): but(TRANSLATION, product_category_name_english=" "),
}


def test_every_rule_is_tried() -> None:
    assert set(BROKEN) == {(rule.name, rule.table.table) for rule in RULES}


@pytest.mark.parametrize(("check", "table"), list(BROKEN))
def test_a_row_that_breaks_a_rule_is_told_at_once(check: str, table: str) -> None:
    row = BROKEN[check, table]
    found = opened([changed(TABLES[table], row, when=at(5))], clock_us=0)
    assert found == {(check, table, at(5))}


def test_a_mended_row_closes_its_violation_and_a_broken_one_keeps_its_beginning() -> None:
    broken = [changed(ORDER_PAYMENTS, but(PAYMENT, payment_installments=0), when=at(1))]
    still = changed(ORDER_PAYMENTS, but(PAYMENT, payment_installments=-1), "u", at(2))
    mended = changed(ORDER_PAYMENTS, PAYMENT, "u", at(3))
    again = changed(ORDER_PAYMENTS, but(PAYMENT, payment_installments=0), "u", at(4))
    check = "installments_below_one", "order_payments"
    assert opened([*broken, still], 0) == {(*check, at(1))}
    assert opened([*broken, still, mended], 0) == set()
    assert opened([*broken, still, mended, again], 0) == {(*check, at(4))}


def test_a_deleted_row_closes_all_its_violations() -> None:
    lonely = [changed(ORDER_ITEMS, but(ITEM, price=Decimal(-1)))]
    assert {check for check, _table, _since in opened(lonely)} == {
        "price_not_positive",
        "item_without_order",
        "item_without_product",
        "item_without_seller",
    }
    assert opened([*lonely, gone(ORDER_ITEMS, ITEM)]) == set()


REFERRING = {
    "item_without_order": (ORDER_ITEMS, ITEM, ORDERS, ORDER),
    "item_without_product": (ORDER_ITEMS, ITEM, PRODUCTS, PRODUCT),
    "item_without_seller": (ORDER_ITEMS, ITEM, SELLERS, SELLER),
    "payment_without_order": (ORDER_PAYMENTS, PAYMENT, ORDERS, ORDER),
    "review_without_order": (ORDER_REVIEWS, REVIEW, ORDERS, ORDER),
    "order_without_customer": (ORDERS, ORDER, CUSTOMERS, CUSTOMER),
    "category_without_translation": (PRODUCTS, PRODUCT, CATEGORY_TRANSLATIONS, TRANSLATION),
    "customer_without_place": (CUSTOMERS, CUSTOMER, GEOLOCATION, PLACE),
    "seller_without_place": (SELLERS, SELLER, GEOLOCATION, PLACE),
}


def test_every_reference_is_tried() -> None:
    assert set(REFERRING) == {reference.name for reference in REFERENCES}


@pytest.mark.parametrize("check", list(REFERRING))
def test_a_child_without_a_parent_is_told_after_the_grace_and_no_more_when_it_comes(check: str) -> None:
    table, child, parents, parent = REFERRING[check]
    lonely = changed(table, child, when=at(5))
    expected = (check, table.table, at(5) + HOUR)
    assert expected not in opened([lonely], at(5) + HOUR - 1)
    assert expected in opened([lonely], at(5) + HOUR)
    folded = Folded(APP).take([lonely]).tick(LATER).take([changed(parents, parent, when=at(9))])
    assert check not in {row.check_name for row in folded.of(VIOLATIONS).values() if isinstance(row, Violation)}


@pytest.mark.parametrize("table", [ORDER_ITEMS, ORDERS])
def test_what_comes_when_the_clock_is_late_has_its_grace_too(table: Contract) -> None:
    row = {ORDER_ITEMS.table: ITEM, ORDERS.table: ORDER}[table.table]
    folded = Folded(APP).tick(at(5) + HOUR - 1).take([changed(table, row, when=at(5))])
    assert not folded.of(VIOLATIONS)
    assert folded.tick(at(5) + HOUR).of(VIOLATIONS)


def test_a_child_that_changes_while_it_waits_waits_no_longer_for_it() -> None:
    changes = [changed(SELLERS, SELLER, when=at(5)), changed(SELLERS, but(SELLER, seller_city="rio"), "u", at(6))]
    assert opened(changes) == {("seller_without_place", "sellers", at(5) + HOUR)}


def test_a_reference_that_is_null_refers_to_nothing() -> None:
    changes = [changed(PRODUCTS, but(PRODUCT, product_category_name=None))]
    assert {check for check, _table, _since in opened(changes)} == {"no_category"}


def test_a_row_that_turns_to_a_parent_that_is_there_is_mended() -> None:
    lost = changed(ORDER_ITEMS, but(ITEM, product_id="nowhere"), when=at(1))
    turned = changed(ORDER_ITEMS, ITEM, "u", at(2))
    rest = [change for change in shop() if change.position.topic != "order_items"]
    assert opened([*rest, lost]) == {("item_without_product", "order_items", at(1) + HOUR)}
    assert opened([*rest, lost, turned]) == set()


def test_a_parent_that_was_there_is_remembered_when_it_is_deleted() -> None:
    assert opened([*shop(), gone(PRODUCTS, PRODUCT)]) == set()


def test_the_row_key_of_a_reference_says_what_is_missing() -> None:
    folded = Folded(APP).take([changed(ORDER_ITEMS, ITEM)]).tick(LATER)
    keys = {(key[0], key[2]) for key in folded.of(VIOLATIONS)}
    assert ("item_without_product", '{"order_id":"o0","order_item_id":1,"product_id":"p0"}') in keys
    assert ("item_without_order", '{"order_id":"o0","order_item_id":1}') in keys


def test_the_row_key_of_a_rule_is_the_rows_key_on_its_topic() -> None:
    free = but(ITEM, price=Decimal(0))
    (key,) = Folded(APP).take([changed(ORDER_ITEMS, free)]).of(VIOLATIONS)
    assert key[2] == codec(ORDER_ITEMS).encode_key(("o0", 1)).decode()


def test_no_more_children_wait_for_a_parent_than_the_state_may_hold() -> None:
    items = [but(ITEM, order_item_id=number + 1) for number in range(MOST_WAITING + 5)]
    rest = [change for change in shop() if change.position.topic not in ("products", "order_items")]
    folded = Folded(APP).take([*rest, *(changed(ORDER_ITEMS, item) for item in items)]).tick(LATER)
    assert len(folded.of(VIOLATIONS)) == MOST_WAITING
    folded.take([changed(PRODUCTS, PRODUCT)])
    assert not folded.of(VIOLATIONS)


def test_an_order_lacks_items_and_a_payment_after_the_grace_until_they_come() -> None:
    rest = [change for change in shop() if change.position.topic not in ("order_items", "order_payments")]
    lacking = {(f"order_without_{what}", "orders", at(0) + HOUR) for what in ("items", "payment")}
    assert {asked.name for asked in EXPECTATIONS} == {check for check, _table, _since in lacking}
    assert opened(rest, at(0) + HOUR - 1) == set()
    assert opened(rest, at(0) + HOUR) == lacking
    folded = Folded(APP).take(rest).tick(LATER).take([changed(ORDER_ITEMS, ITEM), changed(ORDER_PAYMENTS, PAYMENT)])
    assert not folded.of(VIOLATIONS)


def test_an_order_that_was_called_off_need_not_have_items() -> None:
    canceled = but(ORDER, order_status="unavailable")
    rest = [change for change in shop(canceled) if change.position.topic != "order_items"]
    assert opened(rest) == set()


def test_a_key_that_is_created_while_it_lives_is_told_until_the_row_is_deleted() -> None:
    first, second = changed(ORDER_REVIEWS, REVIEW, when=at(1)), changed(ORDER_REVIEWS, REVIEW, when=at(2))
    assert ("created_twice", "order_reviews", at(2)) in opened([first, second])
    assert ("created_twice", "order_reviews", at(2)) in opened([first, second, changed(ORDER_REVIEWS, REVIEW, "u")])
    assert opened([*shop(), second, gone(ORDER_REVIEWS, REVIEW)]) == set()


@pytest.mark.parametrize(
    "second",
    [
        changed(ORDER_REVIEWS, REVIEW, "c", at(1)),  # delivered twice
        changed(ORDER_REVIEWS, REVIEW, "r", at(2)),  # read by a snapshot
        changed(ORDER_REVIEWS, REVIEW, "u", at(2)),
    ],
)
def test_a_create_that_is_delivered_again_is_no_second_one(second: Change) -> None:
    first = changed(ORDER_REVIEWS, REVIEW, when=at(1))
    later = msgspec.structs.replace(second, position=Position(ORDER_REVIEWS.table, 0, next(_offsets)))
    assert "created_twice" not in {check for check, _table, _since in opened([first, later])}


def test_a_key_may_be_created_again_after_its_row_was_deleted() -> None:
    changes = [*shop(), gone(ORDER_REVIEWS, REVIEW), changed(ORDER_REVIEWS, REVIEW, when=at(9))]
    assert opened(changes) == set()


def test_an_undecodable_record_is_told_by_its_place() -> None:
    ((contract, row),) = APP.of_refused(BadRecord("shop.public.orders", 2, 7, "no key"))
    assert contract is VIOLATIONS
    assert isinstance(row, Violation)
    assert (row.check_name, row.table_name, row.found, row.opened_at) == ("undecodable", "orders", "no key", None)
    assert row.row_key == '{"topic":"shop.public.orders","partition":2,"offset":7}'


def test_what_a_rule_looked_at_is_shown_with_readable_times_and_exact_money() -> None:
    early = but(ORDER, order_approved_at=at(-1))
    poor = but(PAYMENT, payment_value=Decimal("-0.10"))
    folded = Folded(APP).take([changed(ORDERS, early), changed(ORDER_PAYMENTS, poor)])
    found = {row.check_name: row.found for row in folded.of(VIOLATIONS).values() if isinstance(row, Violation)}
    assert found["approved_before_purchase"] == (
        '{"order_approved_at":"2018-01-01T12:00:00","order_purchase_timestamp":"2018-01-02T12:00:00"}'
    )
    assert found["payment_not_positive"] == '{"payment_value":"-0.10"}'


def test_a_sound_row_that_nobody_refers_to_is_forgotten_after_a_while_and_no_other_is() -> None:
    broken = but(PAYMENT, payment_sequential=2, payment_value=Decimal(0))
    folded = Folded(APP).take([*shop(), changed(ORDER_PAYMENTS, broken)])
    everything = set(folded.states.entries)
    old = at(0) + int(quality.FORGET_AFTER.total_seconds() * 1_000_000)
    assert set(folded.tick(old - 1).tick(old - 1, 10_000).states.entries) == everything
    folded.tick(old, 10_000).tick(old, 20_000)
    sound = {("order_items", "o0", "1"), ("order_payments", "o0", "1"), ("order_reviews", "r0", "o0")}
    assert set(folded.states.entries) == everything - sound
    assert [key[0] for key in folded.of(VIOLATIONS)] == ["payment_not_positive"]


ROWS = [
    (ORDERS, ORDER),
    (ORDERS, but(ORDER, order_approved_at=None, customer_id="c1")),
    (ORDER_ITEMS, ITEM),
    (ORDER_ITEMS, but(ITEM, product_id="p1", price=Decimal(0))),
    (PRODUCTS, PRODUCT),
    (PRODUCTS, but(PRODUCT, product_category_name="livros")),
    (CUSTOMERS, CUSTOMER),
    (ORDER_PAYMENTS, PAYMENT),
]
LIVES = st.lists(st.tuples(st.sampled_from(ROWS), st.booleans()), max_size=12)


def lives(drawn: list[tuple[tuple[Contract, Row], bool]]) -> dict[str, list[Change]]:
    """The drawn changes by topic, a minute apart; creates and updates as the source would write them."""
    alive: set[tuple[str, Any]] = set()
    by_topic: dict[str, list[Change]] = {}
    for minute, ((contract, row), deletes) in enumerate(drawn):
        at_key = contract.table, codec(contract).key_of(row)
        op: Op = "d" if deletes and at_key in alive else "u" if at_key in alive else "c"
        change = changed(contract, row, op, at(0) + minute * 60_000_000)
        by_topic.setdefault(contract.table, []).append(but_deleted(change) if op == "d" else change)
        alive = alive - {at_key} if op == "d" else alive | {at_key}
    return by_topic


def but_deleted(change: Change) -> Change:
    return msgspec.structs.replace(change, row=None)


@given(st.data(), LIVES)
def test_any_interleaving_of_the_topics_ends_in_the_same_rows(data: st.DataObject, drawn: Any) -> None:
    topics = lives(drawn)
    straight = [change for topic in topics.values() for change in topic]
    turns = data.draw(st.permutations([name for name, topic in topics.items() for _ in topic]))
    left = {name: iter(topic) for name, topic in topics.items()}
    mixed = [next(left[name]) for name in turns]
    assert opened(mixed) == opened(straight)


@given(LIVES, st.integers(0, 30))
def test_looking_in_between_changes_nothing_in_the_end(drawn: Any, looks: int) -> None:
    changes = [change for topic in lives(drawn).values() for change in topic]
    folded = Folded(APP)
    for number, change in enumerate(changes):
        folded.take([change])
        if number % 3 == looks % 3:
            folded.tick(at(0) + looks * HOUR)
    folded.tick(LATER)
    rows = {
        (r.check_name, r.table_name, r.opened_at) for r in folded.of(VIOLATIONS).values() if isinstance(r, Violation)
    }
    assert rows == opened(changes)


def test_open_violations_are_counted_by_table_and_check_until_they_close() -> None:
    sound = shop()
    cheap = [changed(ORDER_ITEMS, but(ITEM, order_item_id=n, price=Decimal(0)), when=at(n)) for n in (1, 2)]
    folded = Folded(APP).take([*sound, *cheap])
    assert +folded.states.rows_by_kind == {"order_items/price_not_positive": 2, "order_items/created_twice": 1}
    folded.take([gone(ORDER_ITEMS, ITEM)])
    assert +folded.states.rows_by_kind == {"order_items/price_not_positive": 1}
    again = Folded(APP)
    again.states.entries.update(folded.states.entries)
    list(again.states.restored(0.0))
    assert again.states.rows_by_kind == +folded.states.rows_by_kind
