"""Order lifecycles: the oracle's rows in any order of arrival, and what each alert does when facts come and go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.changes import Change, Position
from olist.contracts import Contract, Row
from olist.order_status import MOVES
from olist.source import load
from olist.tables import ORDER_ITEMS, ORDERS, Order, OrderItem
from producers.generation.dataset import generate
from stream_apps.apps.order_lifecycle import APP, ORDER_ALERTS, ORDER_LIFECYCLE, OrderAlert, OrderLifecycle
from tests.folded import Folded
from tests.oracles.order_lifecycle import alerts, last_event_us, lifecycles
from tests.replayed import replayed, shuffled, topic_by_topic

DAY = 86_400_000_000
BOUGHT = 1_500_000_000_000_000
MINUTES_US = 60_000_000


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lifecycle") / "data"
    generate(folder, 500, 1, lambda _done: None)
    return folder


@pytest.fixture(scope="module")
def changes(data: Path) -> list[Change]:
    return list(replayed(load(data)))


def frame_of(folded: Folded, contract: Contract) -> pl.DataFrame:
    names = [column.name for column in contract.columns]
    rows = [[getattr(row, name) for name in names] for row in folded.of(contract).values()]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None).sort(contract.key)


@pytest.mark.parametrize("arrival", ["as it happened", "shuffled", "orders first", "items first", "all twice"])
def test_rows_are_the_oracles_in_any_order_of_arrival(data: Path, changes: list[Change], arrival: str) -> None:
    arrived = {
        "as it happened": lambda: changes,
        "shuffled": lambda: shuffled(changes, 3),
        "orders first": lambda: topic_by_topic(changes, children_first=False),
        "items first": lambda: topic_by_topic(changes, children_first=True),
        "all twice": lambda: [*changes, *changes],
    }[arrival]()
    folded, clock_us = Folded(APP), 0
    for at in range(0, len(arrived), 500):
        folded.take(arrived[at : at + 500])
        clock_us = max(clock_us, *(change.committed_us for change in arrived[at : at + 500]))
        folded.tick(clock_us)
    folded.tick(last_event_us(data))
    expected = alerts(data)
    assert set(expected["kind"]) == {"not_approved", "not_handed_over", "not_delivered"}
    assert frame_of(folded, ORDER_ALERTS).to_dicts() == expected.to_dicts()
    assert frame_of(folded, ORDER_LIFECYCLE).to_dicts() == lifecycles(data).to_dicts()


class Shop:
    """One order and its items, changed step by step."""

    def __init__(self) -> None:
        self.folded = Folded(APP)
        self.offset = 0

    def order(self, status: str = "created", *, at: int = BOUGHT, **dates: int | None) -> Shop:
        row = Order(
            order_id="o",
            customer_id="c",
            order_status=status,
            order_purchase_timestamp=BOUGHT,
            order_approved_at=dates.get("approved"),
            order_delivered_carrier_date=dates.get("handed"),
            order_delivered_customer_date=dates.get("delivered"),
            order_estimated_delivery_date=dates.get("estimated") or BOUGHT + 20 * DAY,
        )
        return self.change(ORDERS, ("o",), row, at)

    def item(self, number: int, limit: int | None, *, at: int = BOUGHT) -> Shop:
        row = limit if limit is None else OrderItem("o", number, "p", "s", limit, 1, 1)  # type: ignore[arg-type]
        return self.change(ORDER_ITEMS, ("o", number), row, at)

    def change(self, contract: Contract, key: tuple[object, ...], row: Row | None, at: int) -> Shop:
        position = Position(contract.table, 0, self.offset)
        self.offset += 1
        self.folded.take([Change("u" if row else "d", key, row, position, at)])
        return self

    def until(self, clock_us: int) -> Shop:
        self.folded.tick(clock_us)
        return self

    @property
    def alerts(self) -> dict[str, OrderAlert]:
        found = self.folded.of(ORDER_ALERTS).values()
        return {row.kind: row for row in found if isinstance(row, OrderAlert)}

    @property
    def row(self) -> OrderLifecycle:
        (row,) = self.folded.of(ORDER_LIFECYCLE).values()
        assert isinstance(row, OrderLifecycle)
        return row


def test_an_alert_is_raised_at_its_deadline_though_nothing_happens() -> None:
    shop = Shop().order().until(BOUGHT + 2 * DAY - 1)
    assert not shop.alerts
    shop.until(BOUGHT + 2 * DAY)
    assert shop.alerts == {"not_approved": OrderAlert("o", "not_approved", BOUGHT + 2 * DAY, None, None)}
    assert shop.row.open_alerts == 1


def test_an_alert_is_written_once_however_often_the_clock_ticks() -> None:
    shop = Shop().order().until(BOUGHT + 3 * DAY)
    written = shop.folded.written
    for hour in range(100):
        shop.until(BOUGHT + 3 * DAY + hour * 60 * MINUTES_US)
    assert shop.folded.written == written


def test_an_alert_is_cleared_by_the_orders_own_date() -> None:
    shop = Shop().order().until(BOUGHT + 3 * DAY)
    shop.order("approved", approved=BOUGHT + 4 * DAY, at=BOUGHT + 5 * DAY)
    assert shop.alerts["not_approved"].cleared_at == BOUGHT + 4 * DAY
    assert shop.row.open_alerts == 0


def test_a_late_fact_that_shows_no_breach_removes_the_alert() -> None:
    shop = Shop().order().until(BOUGHT + 3 * DAY)
    shop.order("approved", approved=BOUGHT + DAY, at=BOUGHT + 5 * DAY)
    assert not shop.alerts


def test_a_breach_that_the_clock_has_not_seen_is_told_by_the_dates() -> None:
    shop = Shop().order("approved", approved=BOUGHT + 9 * DAY)
    assert shop.alerts["not_approved"].raised_at == BOUGHT + 2 * DAY


def test_each_late_item_is_named_when_its_own_limit_passes() -> None:
    shop = Shop().order("approved", approved=BOUGHT).item(2, BOUGHT + 3 * DAY).item(1, BOUGHT + 5 * DAY)
    assert shop.until(BOUGHT + 3 * DAY).alerts["not_handed_over"].items == "2"
    assert shop.until(BOUGHT + 5 * DAY).alerts["not_handed_over"].items == "1, 2"
    shop.order("shipped", approved=BOUGHT, handed=BOUGHT + 4 * DAY)
    assert shop.alerts["not_handed_over"] == OrderAlert("o", "not_handed_over", BOUGHT + 3 * DAY, BOUGHT + 4 * DAY, "2")


def test_an_item_that_is_taken_back_alerts_no_more() -> None:
    shop = Shop().order("approved", approved=BOUGHT).item(1, BOUGHT + DAY).until(BOUGHT + 2 * DAY)
    assert "not_handed_over" in shop.alerts
    assert "not_handed_over" not in shop.item(1, None).alerts


def test_a_closed_order_is_held_to_no_deadline() -> None:
    shop = Shop().order().until(BOUGHT + 30 * DAY)
    assert shop.row.open_alerts == 2
    shop.order("canceled", at=BOUGHT + 31 * DAY)
    assert not shop.alerts
    assert shop.row.ended_at == BOUGHT + 31 * DAY
    assert not shop.until(BOUGHT + 90 * DAY).alerts


def test_an_illegal_move_is_an_alert_until_it_is_made_good() -> None:
    shop = Shop().order("canceled").order("shipped", at=BOUGHT + DAY, handed=BOUGHT, approved=BOUGHT)
    assert shop.alerts["illegal_move"] == OrderAlert("o", "illegal_move", BOUGHT + DAY, None, None)
    assert shop.row.illegal_moves == 1
    shop.order("canceled", at=BOUGHT + 2 * DAY)
    assert shop.alerts["illegal_move"].cleared_at == BOUGHT + 2 * DAY


def test_time_in_a_state_is_that_of_all_its_stays() -> None:
    shop = Shop().order("created").order("shipped", at=BOUGHT + 60_000_000).order("approved", at=BOUGHT + 90_000_000)
    shop.order("shipped", at=BOUGHT + 100_000_000)
    assert (shop.row.created_s, shop.row.shipped_s, shop.row.approved_s) == (60, 30, 10)
    assert shop.row.moves == "created > shipped > approved > shipped"


def test_a_deleted_order_leaves_nothing_and_may_come_back() -> None:
    shop = Shop().order().until(BOUGHT + 3 * DAY).change(ORDERS, ("o",), None, BOUGHT + 3 * DAY)
    assert not shop.alerts
    assert not shop.folded.of(ORDER_LIFECYCLE)
    assert shop.order("created", at=BOUGHT + 4 * DAY).row.moves == "created"


def test_an_ended_order_is_forgotten_after_ninety_days_and_its_rows_stay() -> None:
    shop = Shop().order("delivered", approved=BOUGHT, handed=BOUGHT, delivered=BOUGHT)
    shop.folded.tick(BOUGHT + 91 * DAY, 0.0)
    shop.folded.tick(BOUGHT + 91 * DAY, 10_000.0)
    assert not shop.folded.states.entries
    assert shop.row.order_status == "delivered"


def test_an_open_order_is_remembered_for_longer() -> None:
    shop = Shop().order("shipped", approved=BOUGHT, handed=BOUGHT)
    shop.folded.tick(BOUGHT + 399 * DAY, 0.0)
    shop.folded.tick(BOUGHT + 399 * DAY, 10_000.0)
    assert shop.folded.states.entries


moments = st.none() | st.integers(0, 40).map(lambda day: BOUGHT + day * DAY)
order_rows = st.builds(
    Order,
    order_id=st.just("o"),
    customer_id=st.just("c"),
    order_status=st.sampled_from([*MOVES, "surprise"]),
    order_purchase_timestamp=st.just(BOUGHT),
    order_approved_at=moments,
    order_delivered_carrier_date=moments,
    order_delivered_customer_date=moments,
    order_estimated_delivery_date=st.integers(1, 40).map(lambda day: BOUGHT + day * DAY),
)
item_rows = st.tuples(st.integers(1, 3), st.none() | st.integers(0, 40).map(lambda day: BOUGHT + day * DAY))


def as_changes(orders: list[Order | None], items: list[tuple[int, int | None]]) -> tuple[list[Change], list[Change]]:
    return (
        [
            Change("u" if row else "d", ("o",), row, Position(ORDERS.table, 0, at), BOUGHT + at * DAY)
            for at, row in enumerate(orders)
        ],
        [
            Change(
                "u" if limit else "d",
                ("o", number),
                OrderItem("o", number, "p", "s", limit, 1, 1) if limit else None,  # type: ignore[arg-type]
                Position(ORDER_ITEMS.table, 0, at),
                BOUGHT + at * DAY,
            )
            for at, (number, limit) in enumerate(items)
        ],
    )


@settings(max_examples=300, deadline=timedelta(seconds=5))
@given(st.lists(st.none() | order_rows, max_size=6), st.lists(item_rows, max_size=5), st.data())
def test_arrival_repeats_and_ticks_do_not_change_the_end(
    orders: list[Order | None], items: list[tuple[int, int | None]], chance: st.DataObject
) -> None:
    of_orders, of_items = as_changes(orders, items)
    calm = Folded(APP).take([*of_orders, *of_items]).tick(BOUGHT + 100 * DAY)
    wild, clock_us = Folded(APP), BOUGHT
    left = {ORDERS.table: list(of_orders), ORDER_ITEMS.table: list(of_items)}
    taken: list[Change] = []
    while any(left.values()):
        table = chance.draw(st.sampled_from([table for table, some in left.items() if some]))
        taken.append(left[table].pop(0))
        wild.take([taken[-1]])
        if chance.draw(st.booleans()):
            wild.take([chance.draw(st.sampled_from(taken))])
        if chance.draw(st.booleans()):
            clock_us += chance.draw(st.integers(0, 20)) * DAY
            wild.tick(clock_us)
    wild.tick(BOUGHT + 100 * DAY)
    assert wild.rows == calm.rows
