"""The checks of `stream_apps.quality`, as one table each: what a row must be, what it refers to, what it must have.

Rules are the data's own: values that the shop's files use, dates in the order of an order's life, ranges that a price
or a weight can have. They judge one row by itself; a null that its contract allows breaks no rule but a completeness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from olist.contracts import Contract
from olist.order_status import CLOSED, DELIVERED, MOVES, SHIPPED
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
)

Kind: TypeAlias = Literal[
    "allowed values", "completeness", "date order", "decoding", "range", "reference", "uniqueness"
]

_STATES = "AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO"
STATES = frozenset(_STATES.split())
PAYMENT_TYPES = frozenset({"credit_card", "boleto", "debit_card", "voucher"})
LATITUDES, LONGITUDES = (-33.8, 5.3), (-74.0, -28.8)  # of Brazil, its islands included


@dataclass(frozen=True)
class Check:
    """One that needs more than a row: `stream_apps.quality` does it for every table."""

    name: str
    kind: Kind
    message: str


@dataclass(frozen=True)
class Rule:
    """A row of the table breaks it when `broken`. A table has one of a name."""

    name: str
    table: Contract
    kind: Kind
    message: str
    columns: tuple[str, ...]
    broken: Callable[[Any], bool]


@dataclass(frozen=True)
class Reference:
    """A row of the table names, in `by`, the key of a row of the parent's that has to be there."""

    name: str
    table: Contract
    by: tuple[str, ...]
    parent: Contract
    message: str
    kind: Kind = "reference"


@dataclass(frozen=True)
class Expectation:
    """A row of the table of which `expected` holds has to have a row of `child`, which refers to it."""

    name: str
    table: Contract
    child: Contract
    message: str
    expected: Callable[[Any], bool]
    kind: Kind = "completeness"


def before(date: int | None, other: int | None) -> bool:
    """Whether both dates are known and the first is earlier."""
    return date is not None and other is not None and date < other


def within(bounds: tuple[float, float], value: float) -> bool:
    """Whether a value is between two, both included."""
    return bounds[0] <= value <= bounds[1]


def malformed_zip(prefix: str) -> bool:
    """Whether a zip prefix is anything else than five ASCII digits."""
    return not (len(prefix) == 5 and prefix.isascii() and prefix.isdigit())


ORDER: Kind = "date order"
FULL: Kind = "completeness"
ALLOWED: Kind = "allowed values"
RANGE: Kind = "range"

CREATED_TWICE = Check("created_twice", "uniqueness", "the key of a living row is not created again")
UNDECODABLE = Check("undecodable", "decoding", "a record is a change of a row of its table's contract")

# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("unknown_status", ORDERS, ALLOWED, "a status of `olist.order_status`",
         ("order_status",), lambda o: o.order_status not in MOVES),
    Rule("approved_before_purchase", ORDERS, ORDER, "an order is approved after it was placed",
         ("order_purchase_timestamp", "order_approved_at"),
         lambda o: before(o.order_approved_at, o.order_purchase_timestamp)),
    Rule("handed_over_before_purchase", ORDERS, ORDER, "an order is handed to the carrier after it was placed",
         ("order_purchase_timestamp", "order_delivered_carrier_date"),
         lambda o: before(o.order_delivered_carrier_date, o.order_purchase_timestamp)),
    Rule("handed_over_before_approval", ORDERS, ORDER, "an order is handed to the carrier after it was approved",
         ("order_approved_at", "order_delivered_carrier_date"),
         lambda o: before(o.order_delivered_carrier_date, o.order_approved_at)),
    Rule("delivered_before_handover", ORDERS, ORDER, "an order is delivered after it was handed to the carrier",
         ("order_delivered_carrier_date", "order_delivered_customer_date"),
         lambda o: before(o.order_delivered_customer_date, o.order_delivered_carrier_date)),
    Rule("delivered_before_purchase", ORDERS, ORDER, "an order is delivered after it was placed",
         ("order_purchase_timestamp", "order_delivered_customer_date"),
         lambda o: before(o.order_delivered_customer_date, o.order_purchase_timestamp)),
    Rule("estimate_before_purchase", ORDERS, ORDER, "the estimated delivery is after the order was placed",
         ("order_purchase_timestamp", "order_estimated_delivery_date"),
         lambda o: before(o.order_estimated_delivery_date, o.order_purchase_timestamp)),
    Rule("delivered_without_approval", ORDERS, FULL, "a delivered order has been approved",
         ("order_status", "order_approved_at"),
         lambda o: o.order_status == DELIVERED and o.order_approved_at is None),
    Rule("shipped_without_handover", ORDERS, FULL, "a shipped or delivered order has been handed to the carrier",
         ("order_status", "order_delivered_carrier_date"),
         lambda o: o.order_status in (SHIPPED, DELIVERED) and o.order_delivered_carrier_date is None),
    Rule("delivered_without_date", ORDERS, FULL, "a delivered order has a date of delivery",
         ("order_status", "order_delivered_customer_date"),
         lambda o: o.order_status == DELIVERED and o.order_delivered_customer_date is None),
    Rule("number_below_one", ORDER_ITEMS, RANGE, "items are numbered from one",
         ("order_item_id",), lambda i: i.order_item_id < 1),
    Rule("price_not_positive", ORDER_ITEMS, RANGE, "a price is above zero", ("price",), lambda i: i.price <= 0),
    Rule("freight_negative", ORDER_ITEMS, RANGE, "freight is zero or more",
         ("freight_value",), lambda i: i.freight_value < 0),
    Rule("unknown_payment_type", ORDER_PAYMENTS, ALLOWED, "one of: " + ", ".join(sorted(PAYMENT_TYPES)),
         ("payment_type",), lambda p: p.payment_type not in PAYMENT_TYPES),
    Rule("installments_below_one", ORDER_PAYMENTS, RANGE, "a payment has at least one instalment",
         ("payment_installments",), lambda p: p.payment_installments < 1),
    Rule("payment_not_positive", ORDER_PAYMENTS, RANGE, "a payment is above zero",
         ("payment_type", "payment_value"), lambda p: p.payment_value <= 0),
    Rule("score_out_of_range", ORDER_REVIEWS, ALLOWED, "a score is 1 to 5",
         ("review_score",), lambda r: not 1 <= r.review_score <= 5),
    Rule("answered_before_asked", ORDER_REVIEWS, ORDER, "a review is answered after it was asked for",
         ("review_creation_date", "review_answer_timestamp"),
         lambda r: before(r.review_answer_timestamp, r.review_creation_date)),
    Rule("no_category", PRODUCTS, FULL, "a product has a category",
         ("product_category_name",), lambda p: p.product_category_name is None),
    Rule("no_description", PRODUCTS, FULL, "a product has a name, a description and photos",
         ("product_name_lenght", "product_description_lenght", "product_photos_qty"),
         lambda p: None in (p.product_name_lenght, p.product_description_lenght, p.product_photos_qty)),
    Rule("not_measured", PRODUCTS, FULL, "a product has a weight and a size",
         ("product_weight_g", "product_length_cm", "product_height_cm", "product_width_cm"),
         lambda p: None in (p.product_weight_g, p.product_length_cm, p.product_height_cm, p.product_width_cm)),
    Rule("measure_not_positive", PRODUCTS, RANGE, "weight and size are above zero",
         ("product_weight_g", "product_length_cm", "product_height_cm", "product_width_cm"),
         lambda p: any(measure is not None and measure <= 0 for measure in (
             p.product_weight_g, p.product_length_cm, p.product_height_cm, p.product_width_cm))),
    Rule("unknown_state", CUSTOMERS, ALLOWED, "a state of Brazil",
         ("customer_state",), lambda c: c.customer_state not in STATES),
    Rule("malformed_zip", CUSTOMERS, ALLOWED, "a zip prefix is five digits",
         ("customer_zip_code_prefix",), lambda c: malformed_zip(c.customer_zip_code_prefix)),
    Rule("unknown_state", SELLERS, ALLOWED, "a state of Brazil",
         ("seller_state",), lambda s: s.seller_state not in STATES),
    Rule("malformed_zip", SELLERS, ALLOWED, "a zip prefix is five digits",
         ("seller_zip_code_prefix",), lambda s: malformed_zip(s.seller_zip_code_prefix)),
    Rule("unknown_state", GEOLOCATION, ALLOWED, "a state of Brazil",
         ("geolocation_state",), lambda g: g.geolocation_state not in STATES),
    Rule("malformed_zip", GEOLOCATION, ALLOWED, "a zip prefix is five digits",
         ("geolocation_zip_code_prefix",), lambda g: malformed_zip(g.geolocation_zip_code_prefix)),
    Rule("outside_of_brazil", GEOLOCATION, RANGE, "a place is in Brazil", ("geolocation_lat", "geolocation_lng"),
         lambda g: not (within(LATITUDES, g.geolocation_lat) and within(LONGITUDES, g.geolocation_lng))),
    Rule("no_english_name", CATEGORY_TRANSLATIONS, FULL, "a category's English name is not empty",
         ("product_category_name_english",), lambda t: not t.product_category_name_english.strip()),
)
REFERENCES: tuple[Reference, ...] = (
    Reference("item_without_order", ORDER_ITEMS, ("order_id",), ORDERS, "an item's order is there"),
    Reference("item_without_product", ORDER_ITEMS, ("product_id",), PRODUCTS, "an item's product is there"),
    Reference("item_without_seller", ORDER_ITEMS, ("seller_id",), SELLERS, "an item's seller is there"),
    Reference("payment_without_order", ORDER_PAYMENTS, ("order_id",), ORDERS, "a payment's order is there"),
    Reference("review_without_order", ORDER_REVIEWS, ("order_id",), ORDERS, "a review's order is there"),
    Reference("order_without_customer", ORDERS, ("customer_id",), CUSTOMERS, "an order's customer is there"),
    Reference("category_without_translation", PRODUCTS, ("product_category_name",), CATEGORY_TRANSLATIONS,
              "a product's category has an English name"),
    Reference("customer_without_place", CUSTOMERS, ("customer_zip_code_prefix",), GEOLOCATION,
              "a customer's zip prefix has a place on the map"),
    Reference("seller_without_place", SELLERS, ("seller_zip_code_prefix",), GEOLOCATION,
              "a seller's zip prefix has a place on the map"),
)
EXPECTATIONS: tuple[Expectation, ...] = (
    Expectation("order_without_items", ORDERS, ORDER_ITEMS, "an order that was not called off has items",
                lambda o: o.order_status not in CLOSED),
    Expectation("order_without_payment", ORDERS, ORDER_PAYMENTS, "an order has a payment", lambda _o: True),
)
# fmt: on
