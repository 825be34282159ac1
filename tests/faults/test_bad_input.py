"""Garbage on a topic, and a topic that is another one suddenly: said clearly, nothing lost."""

from __future__ import annotations

import signal

import pytest

from olist.changes import codec
from olist.partitioner import partition_of
from olist.tables import ORDER_REVIEWS, ORDERS, Order, OrderReview
from olist.topics.admin import admin_client, delete_topics, ensure_topics, topic_state
from olist.topics.dead_letters import OFFSET, REASON, STAGE, TOPIC, dead_letter_topic
from olist.topics.reader import Consumed, read
from sinks.base import TARGETS
from sinks.check.run import check
from tests.commands import done
from tests.faults.shop import Shop
from tests.waiting import DEADLINE_S, wait_until
from tests.written import Writer, envelope

pytestmark = [pytest.mark.integration, pytest.mark.faults]

NUL = OrderReview("nul", "order", 5, "has a \0 in it", None, 0, None)
KEY = codec(ORDER_REVIEWS).encode_key(("r", "o"))


def test_poison_goes_to_the_dead_letters_with_its_reason_and_the_rest_goes_on(shop: Shop) -> None:
    shop.let_null_keys_in(ORDER_REVIEWS)
    sinks = [shop.sink(target) for target in TARGETS]
    shop.replay()
    writer = Writer(shop.settings)
    writer.raw(ORDER_REVIEWS, [(KEY, b"\xff\x00 garbage"), (None, b"{}"), (b"[1,2]", b"{}"), (KEY, b'{"op":"c"}')])
    writer.create(ORDER_REVIEWS, [NUL])
    writer.create(ORDER_REVIEWS, [OrderReview("good", "order", 5, "fine", None, 0, None)])
    report = shop.check_topics()
    assert {finding.state for finding in report.findings} == {"equal"}
    assert [sink.ended() for sink in sinks] == [None] * len(sinks)
    decode = [letter for letter in letters(shop) if letter[STAGE] == "decode"]
    assert len(decode) == 4 * len(TARGETS), "each sink says what it could not read"
    refused = [letter for letter in letters(shop) if letter[STAGE] == "postgres"]
    assert len(refused) == 1, "what only one target refuses is a letter of that sink alone"
    assert "NUL" in refused[0][REASON]
    assert refused[0][TOPIC] == ORDER_REVIEWS.topic(shop.settings.topic_prefix)
    assert all(int(letter[OFFSET]) >= 0 and letter[REASON] for letter in decode)


def test_changes_in_another_partition_than_their_keys_own_are_dead_letters_and_no_target_takes_them(shop: Shop) -> None:
    sinks = [shop.sink(target) for target in TARGETS]
    keys = [codec(ORDERS).encode_key((f"order{number}",)) for number in range(8)]
    made = [(key, envelope(ORDERS, "c", order(number, "created"))) for number, key in enumerate(keys)]
    canceled = [(key, envelope(ORDERS, "u", order(number, "canceled"))) for number, key in enumerate(keys)]
    Writer(shop.settings).raw(ORDERS, made)
    shop.check_topics()  # the sinks hold them before the others come
    Writer(shop.settings, partitioner="consistent_random").raw(ORDERS, canceled)  # librdkafka's own default
    Writer(shop.settings).raw(ORDERS, [(key.replace(b":", b": "), value) for key, value in canceled])
    report = shop.check_topics()
    assert {finding.state for finding in report.findings} == {"equal"}
    assert [sink.ended() for sink in sinks] == [None] * len(sinks)
    strays = [r for r in topic_records(shop, ORDERS.topic(shop.settings.topic_prefix)) if is_stray(shop, r)]
    assert strays
    found = letters(shop)
    assert len(found) == len(strays) * len(TARGETS)
    assert all("murmur2_random" in letter[REASON] for letter in found)


def order(number: int, status: str) -> Order:
    return Order(f"order{number}", "customer", status, 1_500_000_000_000_000, None, None, None, 1_500_000_000_000_000)


def is_stray(shop: Shop, record: Consumed) -> bool:
    made, partitions = codec(ORDERS), shop.settings.partitions
    return partition_of(made.encode_key(made.decode_key(record.key() or b"")), partitions) != record.partition()


def test_a_topic_re_created_under_running_sinks_stops_its_tables_and_a_rebuild_brings_them_back(shop: Shop) -> None:
    sinks = [shop.sink(target) for target in TARGETS]
    shop.replay()
    shop.assert_all_equal()
    delete_topics(shop.settings, [ORDERS.topic(shop.settings.topic_prefix)])
    ensure_topics(shop.settings, [ORDERS])
    Writer(shop.settings).raw(ORDERS, [(b'{"order_id":"x"}', envelope(ORDERS, "d", None))] * 20_000)
    wait_until(lambda: all("PositionRefused: " in sink.said() for sink in sinks), "the tables to stop")
    Writer(shop.settings).create(ORDER_REVIEWS, [OrderReview("other", "order", 5, None, None, 0, None)])
    report = check(shop.settings, contracts=[ORDER_REVIEWS], wait_s=DEADLINE_S)
    assert {finding.state for finding in report.findings} == {"equal"}, "the other tables go on"
    for sink in sinks:
        sink.signal(signal.SIGTERM)
        assert sink.process.wait(DEADLINE_S) == 1
        assert f"olist sink rebuild {sink.target}" in sink.said()
    for target in TARGETS:
        done(shop.settings, "sink", "rebuild", target, "--with-history", "--yes")
    shop.replay("--from-start", "--yes")
    for target in TARGETS:
        shop.sink(target)
    shop.assert_all_equal()


def letters(shop: Shop) -> list[dict[str, str]]:
    """The headers of every dead letter."""
    records = topic_records(shop, dead_letter_topic(shop.settings))
    return [{name: value.decode() for name, value in record.headers() or []} for record in records]


def topic_records(shop: Shop, topic: str) -> list[Consumed]:
    """Every record there."""
    state = topic_state(admin_client(shop.settings), topic)
    return [r for some in read(shop.settings, topic, state.first, state.end) for r in some]
