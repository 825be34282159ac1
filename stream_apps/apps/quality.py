"""Contract checks on every table in flight: the rows that break a rule now.

Reads: every table by its own key, and the tables that refer to others by the key they refer to.
Writes: `quality_violations`, a row per check and row for as long as it is open. A violation that is mended (its row is
changed or deleted, its parent has come) is deleted: the topic and its tables are the list of what is wrong now, the
state need hold open ones alone, and the lake's `quality_violations_changes` keeps every opening and closing.
State: per living row the time of its create, for uniqueness, and its open violations; rows of a table that no other
refers to are forgotten `FORGET_AFTER` their last change unless they break a rule. Per parent, for ever, that it was
seen; per missing parent the children that wait for it, at most `MOST_WAITING` of a kind: further ones are not listed.
A state takes about 1 kB of a worker's memory.
Guarantee: effectively once. The rows are those of the tables' latest rows, whatever the order in which topics arrive.

A row is judged at each of its changes. What it refers to or must have is judged `GRACE` of event time after it came;
any change of the other row will do, since it is for the source's foreign keys to forbid the delete of a parent before
its children. A key is created twice when a create with a later commit time comes while the row lives; one create that
is delivered twice is no violation. A create that Kafka's compaction has removed is not there for a rebuild, which finds
no such violation then. The metric `olist_app_rows_standing` counts what is open by table and check.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from olist.changes import Change, codec
from olist.contracts import MICROS_PER_SECOND, Contract, Integer, Micros, Row, Str, Timestamp
from olist.errors import BadRecord
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
    TABLES,
)
from stream_apps.app import FaustApp, Input, Key, Out

GRACE = timedelta(hours=1)
FORGET_AFTER = timedelta(days=400)
MOST_WAITING = 1000


class Violation(Row):
    """One row that breaks one rule, while it does."""

    check_name: Str
    table_name: Str
    row_key: Str  # as JSON: the row's key, and what it refers to by; of an undecodable record, where it stands
    kind: Str
    message: Str  # what the rule asks for
    found: Str | None  # the columns that the rule looks at, as JSON
    opened_at: Micros | None  # event time; null where the record's time cannot be read


VIOLATIONS = Contract(
    "quality_violations",
    Violation,
    key=("check_name", "table_name", "row_key"),
    event_time="opened_at",
    sort_by=("check_name", "table_name"),
    history=True,
)


@dataclass(frozen=True)
class Check:
    """What a row of a table must be: the values of `columns` break it when `broken`. A table has one of a name."""

    name: str
    table: Contract
    kind: str
    message: str
    columns: tuple[str, ...]
    broken: Callable[..., bool]


@dataclass(frozen=True)
class Reference:
    """A row of a table names, in `columns`, the key of a row of `parent`."""

    name: str
    table: Contract
    parent: Contract
    columns: tuple[str, ...]
    message: str
    kind: str = "reference"


@dataclass(frozen=True)
class Expectation(Check):
    """A row that is `broken` is not so once a row of `child` refers to it."""

    child: Contract


def missing(*values: object) -> bool:
    """Whether one of some values is null."""
    return None in values


def before(date: int | None, other: int | None) -> bool:
    """Whether both dates are known and the first is earlier."""
    return date is not None and other is not None and date < other


def not_positive(*values: Any) -> bool:
    """Whether one of some values is known, and zero or less."""
    return any(value is not None and value <= 0 for value in values)


def no_state(state: str) -> bool:
    """Whether this is not the short name of one of Brazil's states."""
    return state not in STATES


def no_zip(prefix: str) -> bool:
    """Whether a zip prefix is anything else than five ASCII digits."""
    return not (len(prefix) == 5 and prefix.isascii() and prefix.isdigit())


def not_in_brazil(latitude: float, longitude: float) -> bool:
    """Whether a point is outside of a box around the country and its islands."""
    return not (-33.8 <= latitude <= 5.3 and -74.0 <= longitude <= -28.8)


def lacks(*statuses: str) -> Callable[[str, object], bool]:
    """Whether an order in one of these statuses has no value where it should have one."""
    return lambda status, value: status in statuses and value is None


ORDER, FULL, ALLOWED, RANGE = "date order", "completeness", "allowed values", "range"
PLACED, APPROVED, HANDED, DELIVERED_AT, STATUS = (
    "order_purchase_timestamp", "order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date",
    "order_status",
)  # fmt: skip
SIZES = ("product_weight_g", "product_length_cm", "product_height_cm", "product_width_cm")
STATES = frozenset(re.findall("..", "ACALAMAPBACEDFESGOMAMGMSMTPAPBPEPIPRRJRNRORRRSSCSESPTO"))
PAYMENT_TYPES = ("boleto", "credit_card", "debit_card", "voucher")

# fmt: off
RULES = (
    Check("unknown_status", ORDERS, ALLOWED, "a status is one of `olist.order_status`",
          (STATUS,), lambda status: status not in MOVES),
    Check("approved_before_purchase", ORDERS, ORDER, "an order is approved after it was placed",
          (APPROVED, PLACED), before),
    Check("handed_over_before_purchase", ORDERS, ORDER, "an order is handed to the carrier after it was placed",
          (HANDED, PLACED), before),
    Check("handed_over_before_approval", ORDERS, ORDER, "an order is handed to the carrier after it was approved",
          (HANDED, APPROVED), before),
    Check("delivered_before_handover", ORDERS, ORDER, "an order is delivered after it was handed to the carrier",
          (DELIVERED_AT, HANDED), before),
    Check("delivered_before_purchase", ORDERS, ORDER, "an order is delivered after it was placed",
          (DELIVERED_AT, PLACED), before),
    Check("estimate_before_purchase", ORDERS, ORDER, "the estimated delivery is after the order was placed",
          ("order_estimated_delivery_date", PLACED), before),
    Check("delivered_without_approval", ORDERS, FULL, "a delivered order has been approved",
          (STATUS, APPROVED), lacks(DELIVERED)),
    Check("shipped_without_handover", ORDERS, FULL, "a shipped or delivered order has been handed to the carrier",
          (STATUS, HANDED), lacks(SHIPPED, DELIVERED)),
    Check("delivered_without_date", ORDERS, FULL, "a delivered order has a date of delivery",
          (STATUS, DELIVERED_AT), lacks(DELIVERED)),
    Check("number_below_one", ORDER_ITEMS, RANGE, "items are numbered from one", ("order_item_id",), not_positive),
    Check("price_not_positive", ORDER_ITEMS, RANGE, "a price is above zero", ("price",), not_positive),
    Check("freight_negative", ORDER_ITEMS, RANGE, "freight is not negative", ("freight_value",), lambda paid: paid < 0),
    Check("unknown_payment_type", ORDER_PAYMENTS, ALLOWED, f"one of {', '.join(PAYMENT_TYPES)}",
          ("payment_type",), lambda kind: kind not in PAYMENT_TYPES),
    Check("installments_below_one", ORDER_PAYMENTS, RANGE, "a payment has at least one instalment",
          ("payment_installments",), not_positive),
    Check("payment_not_positive", ORDER_PAYMENTS, RANGE, "a payment is above zero", ("payment_value",), not_positive),
    Check("score_out_of_range", ORDER_REVIEWS, ALLOWED, "a score is 1 to 5",
          ("review_score",), lambda score: not 1 <= score <= 5),
    Check("answered_before_asked", ORDER_REVIEWS, ORDER, "a review is answered after it was asked for",
          ("review_answer_timestamp", "review_creation_date"), before),
    Check("no_category", PRODUCTS, FULL, "a product has a category", ("product_category_name",), missing),
    Check("no_description", PRODUCTS, FULL, "a product has a name, a description and photos",
          ("product_name_lenght", "product_description_lenght", "product_photos_qty"), missing),
    Check("not_measured", PRODUCTS, FULL, "a product has a weight and a size", SIZES, missing),
    Check("measure_not_positive", PRODUCTS, RANGE, "weight and size are above zero", SIZES, not_positive),
    Check("unknown_state", CUSTOMERS, ALLOWED, "a state of Brazil", ("customer_state",), no_state),
    Check("malformed_zip", CUSTOMERS, ALLOWED, "five digits", ("customer_zip_code_prefix",), no_zip),
    Check("unknown_state", SELLERS, ALLOWED, "a state of Brazil", ("seller_state",), no_state),
    Check("malformed_zip", SELLERS, ALLOWED, "five digits", ("seller_zip_code_prefix",), no_zip),
    Check("unknown_state", GEOLOCATION, ALLOWED, "a state of Brazil", ("geolocation_state",), no_state),
    Check("malformed_zip", GEOLOCATION, ALLOWED, "five digits", ("geolocation_zip_code_prefix",), no_zip),
    Check("outside_of_brazil", GEOLOCATION, RANGE, "a place is in Brazil",
          ("geolocation_lat", "geolocation_lng"), not_in_brazil),
    Check("no_english_name", CATEGORY_TRANSLATIONS, FULL, "a category's English name is not empty",
          ("product_category_name_english",), lambda name: not name.strip()),
)
REFERENCES = (
    Reference("item_without_order", ORDER_ITEMS, ORDERS, ("order_id",), "its order is there"),
    Reference("item_without_product", ORDER_ITEMS, PRODUCTS, ("product_id",), "its product is there"),
    Reference("item_without_seller", ORDER_ITEMS, SELLERS, ("seller_id",), "its seller is there"),
    Reference("payment_without_order", ORDER_PAYMENTS, ORDERS, ("order_id",), "its order is there"),
    Reference("review_without_order", ORDER_REVIEWS, ORDERS, ("order_id",), "its order is there"),
    Reference("order_without_customer", ORDERS, CUSTOMERS, ("customer_id",), "its customer is there"),
    Reference("category_without_translation", PRODUCTS, CATEGORY_TRANSLATIONS, ("product_category_name",),
              "its category has an English name"),
    Reference("customer_without_place", CUSTOMERS, GEOLOCATION, ("customer_zip_code_prefix",), "its zip is on the map"),
    Reference("seller_without_place", SELLERS, GEOLOCATION, ("seller_zip_code_prefix",), "its zip is on the map"),
)
EXPECTATIONS = (
    Expectation("order_without_items", ORDERS, FULL, "an order that was not called off has items",
                (STATUS,), lambda status: status not in CLOSED, ORDER_ITEMS),
    Expectation("order_without_payment", ORDERS, FULL, "an order has a payment", (), lambda: True, ORDER_PAYMENTS),
)
# fmt: on
CREATED_TWICE, UNDECODABLE = "created_twice", "undecodable"
PARENTS = {reference.parent.table for reference in REFERENCES}
RULE = {(rule.table.table, rule.name): rule for rule in RULES}
RULES_OF = {table: [rule for rule in RULES if rule.table.table == table] for table in TABLES}
REFERENCE = {reference.name: reference for reference in REFERENCES}
REFERENCE_OF = {(reference.table.table, reference.columns): reference for reference in REFERENCES}
EXPECTATION = {expectation.name: expectation for expectation in EXPECTATIONS}
GRACE_US = int(GRACE.total_seconds()) * MICROS_PER_SECOND


class Open(msgspec.Struct, array_like=True):
    """An open violation of a key's own row."""

    since: int
    found: str | None


class State(msgspec.Struct, omit_defaults=True):
    """What is known of one key of one table: its own row, and those that refer to it."""

    created: int | None = None  # commit time of the living row's create
    open: dict[str, Open] = {}  # by check
    expects: dict[str, int] = {}  # by expectation that is not met: since when
    seen: bool = False  # of a table that others refer to: any change of the key
    children: set[str] = set()  # tables that are expected to refer to it, and did
    waiting: dict[str, dict[str, int]] = {}  # by reference: the keys of children without a parent, since when


def fold(state: State, source: Input, change: Change) -> State:
    """A change of the key's own row, or of a row that refers to it."""
    if source.space == source.contract.table:
        _own_row(state, source.contract, change)
    else:
        _child(state, source, change)
    return state


def _own_row(state: State, table: Contract, change: Change) -> None:
    if table.table in PARENTS:
        state.seen, state.waiting = True, {}
    row, now = change.row, change.committed_us
    if row is None:
        state.created, state.open, state.expects = None, {}, {}
        return
    if state.created is None:
        state.created = now
    found: dict[str, str | None] = {
        rule.name: evidence(row, rule) for rule in RULES_OF[table.table] if breaks(row, rule)
    }
    if CREATED_TWICE in state.open or (change.op == "c" and now > state.created):
        found[CREATED_TWICE] = None
    state.open = {name: Open(state.open[name].since if name in state.open else now, found[name]) for name in found}
    asked = [asked for asked in EXPECTATIONS if asked.table is table and asked.child.table not in state.children]
    state.expects = {asked.name: state.expects.get(asked.name, now) for asked in asked if breaks(row, asked)}


def _child(state: State, source: Input, change: Change) -> None:
    table = source.contract.table
    met = [asked.name for asked in EXPECTATIONS if asked.child.table == table and asked.table.table == source.space]
    if met and change.row is not None:
        state.children.add(table)
        state.expects = {name: since for name, since in state.expects.items() if name not in met}
    if not state.seen:
        key = codec(source.contract).encode_key(change.key).decode()
        _wait(state.waiting, REFERENCE_OF[table, source.by].name, key, change)


def _wait(waiting: dict[str, dict[str, int]], reference: str, key: str, change: Change) -> None:
    """Add a child to those that wait, or take a deleted one away."""
    children = waiting.setdefault(reference, {})
    if change.row is None:
        children.pop(key, None)
    elif len(children) < MOST_WAITING:
        children.setdefault(key, change.committed_us)
    if not children:
        del waiting[reference]


def rows(key: Key, state: State, clock_us: int) -> Iterator[Out]:
    """A row per violation that is open by now."""
    if not (state.open or state.expects or state.waiting):
        return
    table, own = key[0], row_key(TABLES[key[0]], key[1:])
    for name, opened in state.open.items():
        if name == CREATED_TWICE:
            message = "the key of a living row is not created again"
            yield VIOLATIONS, Violation(name, table, own, "uniqueness", message, None, opened.since)
        else:
            yield row_of(RULE[table, name], own, opened.found, opened.since)
    for name, since in state.expects.items():
        if since + GRACE_US <= clock_us:
            yield row_of(EXPECTATION[name], own, None, since + GRACE_US)
    for name, children in state.waiting.items():
        refers = dict(zip(REFERENCE[name].columns, key[1:], strict=True))
        for child, since in children.items():
            if since + GRACE_US <= clock_us:
                whose = as_json(msgspec.json.decode(child) | refers)
                yield row_of(REFERENCE[name], whose, as_json(refers), since + GRACE_US)


def row_of(check: Check | Reference, key: str, found: str | None, at_us: int) -> Out:
    """A row of the output."""
    return VIOLATIONS, Violation(check.name, check.table.table, key, check.kind, check.message, found, at_us)


def due(state: State, clock_us: int) -> int | None:
    """When the next grace ends."""
    since = [*state.expects.values(), *(us for children in state.waiting.values() for us in children.values())]
    return min((us + GRACE_US for us in since if us + GRACE_US > clock_us), default=None)


def forget_after(state: State) -> timedelta | None:
    """What no other row refers to and breaks no rule is forgotten."""
    return None if state.seen or state.open or state.waiting or state.children else FORGET_AFTER


def of_refused(refused: BadRecord) -> Iterator[Out]:
    """A record that no contract can read is a violation for as long as it is on its topic: for ever."""
    table = refused.topic.rpartition(".")[2]
    where = as_json({"topic": refused.topic, "partition": refused.partition, "offset": refused.offset})
    message = "a record is a change of a row of its table's contract"
    yield VIOLATIONS, Violation(UNDECODABLE, table, where, "decoding", message, refused.reason, None)


def row_key(table: Contract, values: tuple[str, ...]) -> str:
    """A row's key as on its topic, from a state's key."""
    typed = zip(table.key_columns, values, strict=True)
    return as_json({column.name: int(v) if isinstance(column.type, Integer) else v for column, v in typed})


def breaks(row: Row, rule: Check) -> bool:
    """Whether a row breaks a rule of its table."""
    return rule.broken(*[getattr(row, name) for name in rule.columns])


def evidence(row: Row, rule: Check) -> str:
    """The columns that a rule looks at, as JSON, times as ISO 8601."""
    times = {column.name for column in rule.table.columns if isinstance(column.type, Timestamp)}
    values = {name: getattr(row, name) for name in rule.columns}
    for name in times & {name for name, value in values.items() if value is not None}:
        values[name] = (datetime(1970, 1, 1) + timedelta(microseconds=values[name])).isoformat()
    return as_json(values)


def as_json(values: Mapping[str, object]) -> str:
    """In the order given, money as strings."""
    return msgspec.json.encode(values).decode()


APP = FaustApp(
    name="quality",
    reads=(
        *(Input(table, by=table.key, space=table.table) for table in TABLES.values()),
        *(Input(reference.table, by=reference.columns, space=reference.parent.table) for reference in REFERENCES),
    ),
    writes=(VIOLATIONS,),
    state=State,
    fold=fold,
    rows=rows,
    due=due,
    forget_after=forget_after,
    of_refused=of_refused,
    count_by=("table_name", "check_name"),
)
