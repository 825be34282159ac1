"""The three targets behind the captured shop: equal to those of the direct road, also while the shop's schema grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from connect.capture import ask_for_snapshot
from olist.batches import decode_batch
from olist.contracts import Contract, Micros, Row, Str
from olist.positions import Positions
from olist.settings import Settings
from olist.source import load
from olist.stack.local import Stack
from olist.tables import ORDERS
from olist.topics.admin import admin_client, topic_state
from olist.topics.reading import read
from producers.generation.dataset import generate
from producers.pace import Pace
from producers.replay import Progress, Run, make_plan
from producers.sending import Sender
from sinks.check.compare import check
from sinks.check.report import Report
from sinks.targets import TARGETS, factory
from tests.shops import CapturedShop, contracts, shop_settings

pytestmark = pytest.mark.integration

DAY = "2018-01-02 12:00:00"
AN_ORDER = f"insert into orders values ('{{0}}', 'c', 'created', '{DAY}', null, null, null, '{DAY}'{{1}})"


class OrderOfAChannel(Row):
    """The contract's next version."""

    order_id: Str
    customer_id: Str
    order_status: Str
    order_purchase_timestamp: Micros
    order_approved_at: Micros | None
    order_delivered_carrier_date: Micros | None
    order_delivered_customer_date: Micros | None
    order_estimated_delivery_date: Micros
    sales_channel: Str | None = None


GROWN = replace(ORDERS, row=OrderOfAChannel)


@pytest.fixture
def emptied(stack: Stack) -> Iterator[Settings]:
    """Targets without our tables, before and after."""
    drop_all(stack.settings)
    yield stack.settings
    drop_all(stack.settings)


def drop_all(settings: Settings) -> None:
    for target in TARGETS:
        for contract in contracts():
            table = factory(target)(contract, settings)
            table.drop()
            table.close()


def carry(settings: Settings, target: str, contract: Contract) -> Counter[str]:
    """Bring a target to its topic's end, as a sink does; returns the fields that the contract does not know."""
    topic = contract.topic(settings.topic_prefix)
    state = topic_state(admin_client(settings.kafka_bootstrap), topic)
    table = factory(target)(contract, settings)
    unknown: Counter[str] = Counter()
    try:
        held = table.open() or Positions.start(topic, state.topic_id, len(state.end))
        table.own(frozenset(state.end))
        for records in read(settings.kafka_bootstrap, topic, held.next, state.end):
            batch = decode_batch(contract, topic, records)
            unknown.update(batch.unknown)
            assert not list(table.stage(batch))
            held = table.commit(batch, held)
        # The last offset of a partition is a transaction's end, which no record brings along.
        to_the_end = replace(decode_batch(contract, topic, []), next=dict(state.end))
        table.stage(to_the_end)
        table.commit(to_the_end, held)
    finally:
        table.close()
    return unknown


def carried(settings: Settings, wanted: Sequence[Contract], data: Path | None = None) -> Report:
    """All targets brought to the topics' ends, and what a check then finds."""
    for target in TARGETS:
        for contract in wanted:
            carry(settings, target, contract)
    return check(settings, contracts=wanted, data=data)


def test_both_roads_end_in_equal_targets(emptied: Settings, connect_stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    generate(folder, 40, 9, lambda _done: None)
    dataset = load(folder)
    direct = emptied.model_copy(update={"topic_prefix": "directtargets.public"})
    plan = make_plan(dataset, direct, tuple(contracts()), None)
    Run(plan, Sender(direct.kafka_bootstrap, linger_ms=5), Pace(), Progress(total=plan.changes.height)).go()
    with CapturedShop(shop_settings(connect_stack.settings, "targets")) as shop:
        shop.capture()
        shop.replay(dataset)
        shop.wait()
        by_capture = carried(shop.settings, contracts(), folder)
        assert by_capture.equal
        drop_all(emptied)
        by_hand = carried(direct, contracts(), folder)
        assert by_hand.equal
        assert [table.live for table in by_capture.tables] == [table.live for table in by_hand.tables]


def test_a_column_added_to_the_live_shop_reaches_all_targets_without_a_new_beginning(
    emptied: Settings, connect_stack: Stack
) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "grown")) as shop:
        settings = shop.settings
        shop.capture()
        shop.run("insert into customers values ('c', 'u', '01001', 'são paulo', 'SP')", AN_ORDER.format("old", ""))
        shop.wait()
        assert carried(settings, [ORDERS]).equal

        shop.run("alter table orders add column sales_channel text", AN_ORDER.format("between", ", 'app'"))
        shop.wait()
        assert [carry(settings, target, ORDERS) for target in TARGETS] == [{"sales_channel": 1}] * len(TARGETS)
        assert check(settings, contracts=[ORDERS]).equal

        shop.run(AN_ORDER.format("new", ", 'web'"))
        shop.wait()
        for target in TARGETS:
            assert carry(settings, target, GROWN) == {}
        # What came between lacks the column in the targets until the row is read again: the topic alone has it.
        assert not check(settings, contracts=[GROWN]).equal
        ask_for_snapshot(settings, [ORDERS])
        shop.wait_for_snapshot()
        assert carried(settings, [GROWN]).equal
