"""The three targets behind the captured shop: equal to those of the direct road, also while the shop's schema grows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from connect.capture import ask_for_snapshot
from olist.contracts import Contract, Micros, Row, Str
from olist.settings import Settings
from olist.source import load
from olist.source.typed import ColumnNames
from olist.stack.local import Stack
from olist.tables import ORDER_PAYMENTS, ORDER_REVIEWS, ORDERS
from olist.topics.admin import admin_client, ensure_topic, ensure_topics, topic_state
from olist.topics.dead_letters import REASON, STAGE, TOPIC_CONFIG, dead_letter_topic
from olist.topics.reader import read
from producers.generation.dataset import generate
from producers.kafka_producer import Sender
from producers.progress import Progress
from producers.rate import Pace
from producers.replay import Run, make_plan
from sinks.base import TARGETS, factory
from sinks.check.report import Report
from sinks.check.run import check
from sinks.runtime.process import run_sink
from tests.shops import CapturedShop, batch, contracts, latest, shop_settings

pytestmark = pytest.mark.integration

DAY = "2018-01-02 12:00:00"
AN_ORDER = f"insert into orders values ('{{0}}', 'c', 'created', '{DAY}', null, null, null, '{DAY}'{{1}})"
A_CUSTOMER = "insert into customers values ('c', 'u', '01001', 'são paulo', 'SP')"
CHANNEL = "sales_channel"
INTERVAL_S, WITHIN_S = 0.2, 120.0
# Payments that the contract cannot hold: which, where they are refused, and why.
REFUSED = [
    (1, "decode", "payment_value is NaN, not a number"),
    (2, "decode", "payment_value is 12345678901.00: more than 10 digits before the point"),
    (3, "decode", "payment_value is 0.001: more than 2 decimals"),
    (4, "decode", "Invalid decimal string - at `$.payment_value`"),  # Infinity, which Debezium spells in its own way
]


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
            table.drop_histories()
            table.close()


@contextmanager
def sinks(settings: Settings, wanted: Sequence[Contract]) -> Iterator[None]:
    """The three sinks, as `olist sink run` runs them, in threads of this process."""
    ensure_topics(settings, wanted)
    ensure_topic(settings, dead_letter_topic(settings), TOPIC_CONFIG)
    stopping = Event()
    with ThreadPoolExecutor(len(TARGETS)) as pool:
        running = [pool.submit(run_sink, settings, t, wanted, stopping, interval_s=INTERVAL_S) for t in TARGETS]
        try:
            yield
        finally:
            stopping.set()
    for one in running:
        one.result()


def compared(settings: Settings, wanted: Sequence[Contract], data: Path | None = None) -> Report:
    """What a check finds once the sinks have reached the topics' ends."""
    return check(settings, contracts=wanted, data=data, wait_s=WITHIN_S)


def unknown_fields(contract: Contract, field: str) -> list[float]:
    """What each sink has counted of a field that its contract does not know."""
    labels = ({"sink": target, "table": contract.table, "field": field} for target in TARGETS)
    return [REGISTRY.get_sample_value("olist_sink_unknown_fields_total", one) or 0.0 for one in labels]


def letters(settings: Settings) -> list[tuple[int, str, str]]:
    """Of every dead letter: which payment it is, where it was refused, and why."""
    topic = dead_letter_topic(settings)
    state = topic_state(admin_client(settings), topic)
    found = [r for some in read(settings, topic, state.first, state.end) for r in some]
    headers = [{name: value.decode() for name, value in record.headers() or []} for record in found]
    keys = [json.loads(record.key() or b"{}")[ColumnNames(ORDER_PAYMENTS).payment_sequential] for record in found]
    return [(key, one[STAGE], one[REASON]) for key, one in zip(keys, headers, strict=True)]


def test_both_roads_end_in_equal_targets(emptied: Settings, connect_stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    generate(folder, 40, 9, lambda _done: None)
    dataset = load(folder)
    direct = emptied.model_copy(update={"topic_prefix": "directtargets.public"})
    plan = make_plan(dataset, direct, tuple(contracts()), None)
    Run(plan, Sender(direct, linger_ms=5), Pace(), Progress(total=plan.changes.height)).go()
    with CapturedShop(shop_settings(connect_stack.settings, "targets")) as shop:
        shop.capture()
        shop.replay(dataset)
        shop.wait()
        with sinks(shop.settings, contracts()):
            by_capture = compared(shop.settings, contracts(), folder)
        assert by_capture.equal
        drop_all(emptied)
        with sinks(direct, contracts()):
            by_hand = compared(direct, contracts(), folder)
        assert by_hand.equal
        assert [table.live for table in by_capture.tables] == [table.live for table in by_hand.tables]


def test_a_column_added_to_the_live_shop_reaches_all_targets_without_a_new_beginning(
    emptied: Settings, connect_stack: Stack
) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "grown")) as shop:
        settings = shop.settings
        shop.capture()
        shop.run(A_CUSTOMER, AN_ORDER.format("old", ""))
        shop.wait()
        with capture_logs() as logged, sinks(settings, [ORDERS]):
            assert compared(settings, [ORDERS]).equal
            shop.run("alter table orders add column sales_channel text", AN_ORDER.format("between", ", 'app'"))
            shop.wait()
            assert compared(settings, [ORDERS]).equal
        assert unknown_fields(ORDERS, CHANNEL) == [1.0] * len(TARGETS)
        warned = [line for line in logged if line["event"] == "unknown field"]
        assert [(line["log_level"], line["field"]) for line in warned] == [("warning", CHANNEL)] * len(TARGETS)

        shop.run(AN_ORDER.format("new", ", 'web'"))
        shop.wait()
        with sinks(settings, [GROWN]):
            # What came between lacks the column in the targets until the row is read again: the topic alone has it.
            assert not compared(settings, [GROWN]).equal
            ask_for_snapshot(settings, [ORDERS])
            shop.wait_for_snapshot()
            assert compared(settings, [GROWN]).equal
        assert unknown_fields(ORDERS, CHANNEL) == [1.0] * len(TARGETS)


def test_a_review_of_a_megabyte_reaches_all_targets_and_numbers_of_no_contract_the_dead_letters_alone(
    emptied: Settings, connect_stack: Stack
) -> None:
    wanted = [ORDER_REVIEWS, ORDER_PAYMENTS]
    with CapturedShop(shop_settings(connect_stack.settings, "extremes")) as shop:
        shop.capture()
        shop.run(
            A_CUSTOMER,
            AN_ORDER.format("o", ""),
            f"insert into order_reviews values ('r', 'o', 5, null, repeat('ótimo ✓ ', 100000), '{DAY}', null)",
            "update order_reviews set review_comment_message = review_comment_message || '!'",
            "alter table order_payments alter payment_value type numeric",
            "insert into order_payments select 'o', n, 'voucher', 1, v::numeric from (values (1, 'NaN'),"
            " (2, '12345678901.00'), (3, '0.001'), (4, 'Infinity'), (5, '9999999999.99'), (6, '1.5')) v(n, v)",
        )
        shop.wait()
        review, payments = latest(shop.settings, ORDER_REVIEWS), batch(shop.settings, ORDER_PAYMENTS)
        assert review[ColumnNames(ORDER_REVIEWS).review_comment_message].to_list() == ["ótimo ✓ " * 100_000 + "!"]
        assert sorted(payments.frame[ColumnNames(ORDER_PAYMENTS).payment_sequential]) == [5, 6]
        with sinks(shop.settings, wanted):
            report = compared(shop.settings, wanted)
        assert report.equal
        assert [table.live.rows for table in report.tables] == [1, 2]
        # Each of the three sinks writes what it could not decode.
        assert sorted(letters(shop.settings)) == sorted(REFUSED * len(TARGETS))
