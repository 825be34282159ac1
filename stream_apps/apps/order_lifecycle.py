"""Each order's way through its states, and alerts where it is late or goes where no order may go.

reads       `orders` and `order_items`, by order
writes      `order_lifecycle`, one row per order; `order_alerts`, one row per order and kind
state       per order: its dates, its items' shipping limits, the moves seen. Kept for 90 days of event time after the
            last change of an order that has ended, 400 days of any other; the rows stay
guarantee   effectively once. The rows are a function of the changes of each order in their order, of the latest state
            of its items, and of the clock; how the two topics come one after the other makes no difference at the end.
            Changes that Kafka's compaction has removed from `orders` are not there for a rebuild: moves, the seconds in
            a state and illegal moves of orders that changed before that are then those of the changes that are left

**Alerts.** An alert is raised at its deadline in event time, whether or not anything happens then, and cleared by the
order's own date that ends it:

    not_approved      48 hours after the purchase        cleared when it was approved, or else handed over or delivered
    not_handed_over   an item's shipping limit           cleared when it was handed over, or else delivered
    not_delivered     the end of the estimated day       cleared when it was delivered
    illegal_move      a move that `olist.order_status` does not know; cleared when the order is back where it may be

A date that comes late and shows that the deadline was kept removes the alert. An order that is closed (canceled,
unavailable) is held to no deadline: its alerts are removed, illegal moves aside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Literal

import msgspec

from olist.changes import Change
from olist.contracts import Contract, Int, Long, Micros, Row, Str
from olist.order_status import APPROVED, CLOSED, CREATED, DELIVERED, INVOICED, PROCESSING, SHIPPED, may_move
from olist.tables import ORDER_ITEMS, ORDERS, Order, OrderItem
from stream_apps.app import FaustApp, Input, Key, Out

APPROVAL_US = 48 * 3600 * 1_000_000
DAY_US = 24 * 3600 * 1_000_000
ENDED = (DELIVERED, *CLOSED)
KEPT_AFTER_END, KEPT_OPEN = timedelta(days=90), timedelta(days=400)
MOST_MOVES = 50  # of one order that are remembered; the oldest go first

Kind = Literal["not_approved", "not_handed_over", "not_delivered", "illegal_move"]


class OrderLifecycle(Row):
    """An order's way. The seconds in a state are event time, of all its stays that are over; null: none."""

    order_id: Str
    order_status: Str
    order_purchase_timestamp: Micros
    moves: Str  # the statuses seen, in order: "created > approved > shipped"
    illegal_moves: Int
    created_s: Long | None
    approved_s: Long | None
    invoiced_s: Long | None
    processing_s: Long | None
    shipped_s: Long | None
    ended_at: Micros | None  # when it was delivered or closed, in event time
    open_alerts: Int


class OrderAlert(Row):
    """Something wrong with an order, since when, and since when no more."""

    order_id: Str
    kind: Str
    raised_at: Micros
    cleared_at: Micros | None
    items: Str | None  # not_handed_over: the items whose limit was passed, as "1, 3"


ORDER_LIFECYCLE = Contract(
    "order_lifecycle",
    OrderLifecycle,
    key=("order_id",),
    event_time="order_purchase_timestamp",
    targets=("postgres", "opensearch"),
)
ORDER_ALERTS = Contract(
    "order_alerts", OrderAlert, key=("order_id", "kind"), event_time="raised_at", targets=("postgres", "opensearch")
)


class Dates(msgspec.Struct):
    """What an order says of itself now."""

    status: str
    purchased: int
    approved: int | None
    handed_over: int | None
    delivered: int | None
    estimated: int


class Stray(msgspec.Struct):
    """An illegal move: the status it left, when, and when the order was back."""

    left: str
    at: int
    back: int | None = None


class State(msgspec.Struct):
    """What is known of one order. `moves` are (status, when it was entered)."""

    dates: Dates | None = None
    limits: dict[int, int] = {}  # item -> shipping limit
    moves: list[tuple[str, int]] = []
    illegal_moves: int = 0
    stray: Stray | None = None


class Alert(msgspec.Struct):
    """An alert as the facts have it at a clock."""

    kind: Kind
    raised: int
    cleared: int | None
    items: str | None = None


def fold(state: State, given: Input, change: Change) -> State:
    """The state after a change of the order or of one of its items."""
    match change.row:
        case Order() as order:
            return _ordered(state, order, change.committed_us)
        case OrderItem() as item:
            state.limits[item.order_item_id] = item.shipping_limit_date
            return state
    if given.contract is ORDERS:
        return State(limits=state.limits)
    state.limits.pop(change.key[1], None)
    return state


def _ordered(state: State, order: Order, at_us: int) -> State:
    state.dates = Dates(
        order.order_status,
        order.order_purchase_timestamp,
        order.order_approved_at,
        order.order_delivered_carrier_date,
        order.order_delivered_customer_date,
        order.order_estimated_delivery_date,
    )
    before = state.moves[-1][0] if state.moves else None
    if order.order_status != before:
        state.moves = [*state.moves[1 - MOST_MOVES :], (order.order_status, at_us)]
        _judge(state, before, order.order_status, at_us)
    return state


def _judge(state: State, before: str | None, now: str, at_us: int) -> None:
    """Note an illegal move, or that one is made good."""
    stray = state.stray
    if stray is not None and stray.back is None and (now == stray.left or may_move(stray.left, now)):
        stray.back = at_us
    elif before is not None and not may_move(before, now):
        state.illegal_moves += 1
        if stray is None or stray.back is not None:
            state.stray = Stray(before, at_us)


def rows(key: Key, state: State, clock_us: int) -> Iterable[Out]:
    """The order's row and its alerts."""
    dates = state.dates
    if dates is None:
        return
    _space, order_id = key
    found = list(alerts(state, dates, clock_us))
    spent = seconds_in(state.moves)
    yield (
        ORDER_LIFECYCLE,
        OrderLifecycle(
            order_id=order_id,
            order_status=dates.status,
            order_purchase_timestamp=dates.purchased,
            moves=" > ".join(status for status, _at in state.moves),
            illegal_moves=state.illegal_moves,
            created_s=spent.get(CREATED),
            approved_s=spent.get(APPROVED),
            invoiced_s=spent.get(INVOICED),
            processing_s=spent.get(PROCESSING),
            shipped_s=spent.get(SHIPPED),
            ended_at=state.moves[-1][1] if dates.status in ENDED else None,
            open_alerts=sum(alert.cleared is None for alert in found),
        ),
    )
    for alert in found:
        yield ORDER_ALERTS, OrderAlert(order_id, alert.kind, alert.raised, alert.cleared, alert.items)


def seconds_in(moves: list[tuple[str, int]]) -> dict[str, int]:
    """Whole seconds in each state that was left again."""
    spent: dict[str, int] = {}
    for (status, entered), (_next, left) in pairwise(moves):
        spent[status] = spent.get(status, 0) + max(0, left - entered) // 1_000_000
    return spent


def alerts(state: State, dates: Dates, clock_us: int) -> Iterator[Alert]:
    """Every alert that the facts and the clock stand for."""
    if dates.status not in CLOSED:
        for kind, deadline, recovered, items in deadlines(state, dates, clock_us):
            if deadline < recovered if recovered is not None else deadline <= clock_us:
                yield Alert(kind, deadline, recovered, items)
    if state.stray is not None:
        yield Alert("illegal_move", state.stray.at, state.stray.back)


def deadlines(state: State, dates: Dates, clock_us: int) -> Iterator[tuple[Kind, int, int | None, str | None]]:
    """Each deadline: its kind, when it is, when it was met if it was, and the items it is about."""
    approved = _first(dates.approved, dates.handed_over, dates.delivered)
    handed_over = _first(dates.handed_over, dates.delivered)
    yield "not_approved", dates.purchased + APPROVAL_US, approved, None
    if state.limits:
        until = clock_us if handed_over is None else handed_over - 1  # an item that left at its limit is in time
        late = sorted(item for item, limit in state.limits.items() if limit <= until)
        yield "not_handed_over", min(state.limits.values()), handed_over, ", ".join(map(str, late)) or None
    yield "not_delivered", day_end(dates.estimated), dates.delivered, None


def day_end(at_us: int) -> int:
    """The last moment of its day: an estimate is a date, and at any hour of it nothing is late."""
    return (at_us // DAY_US + 1) * DAY_US - 1


def due(state: State, clock_us: int) -> int | None:
    """The next deadline that nothing has met yet."""
    dates = state.dates
    if dates is None or dates.status in CLOSED:
        return None
    open_ones = [at for _, at, met, _ in deadlines(state, dates, clock_us) if met is None]
    if _first(dates.handed_over, dates.delivered) is None:
        open_ones += state.limits.values()  # each item's own, not the first one's alone
    return min((at for at in open_ones if at > clock_us), default=None)


def forget_after(state: State) -> timedelta:
    """How long an order is remembered after its last change."""
    return KEPT_AFTER_END if state.dates is None or state.dates.status in ENDED else KEPT_OPEN


def _first(*dates: int | None) -> int | None:
    """The first date that is known."""
    return next((date for date in dates if date is not None), None)


APP = FaustApp(
    name="order_lifecycle",
    reads=(Input(ORDERS, by=("order_id",)), Input(ORDER_ITEMS, by=("order_id",))),
    writes=(ORDER_LIFECYCLE, ORDER_ALERTS),
    state=State,
    fold=fold,
    rows=rows,
    due=due,
    forget_after=forget_after,
)
