"""The worker's smaller pure parts: routes, moving rows, the clock, timers, and what is read back of states."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olist.changes import Change, Position, codec
from olist.contracts import Contract, Row, Str
from olist.errors import BadInput, PositionRefused, Stopped
from olist.partitioner import partition_of
from olist.settings import Settings
from olist.tables import CUSTOMERS, ORDER_ITEMS, ORDER_REVIEWS, ORDERS, Order
from stream_apps.app import FaustApp, Input, Key
from stream_apps.faust.changelog import (
    Changelog,
    Entry,
    PartitionMetadata,
    RestoredPartition,
    decode_key,
    encode_key,
)
from stream_apps.faust.moved_keys import MOST_KEYS, MovedKeys
from stream_apps.faust.owned_partition import OwnedPartition
from stream_apps.faust.partition_states import REPEATS_S, Timers
from stream_apps.faust.producer import RowRecords
from stream_apps.faust.repartition import ORIGIN, Origin, origin_of, routes
from stream_apps.faust.watermark import IDLE_S, WatermarkClock
from tests.records import FakeRecord


class State(msgspec.Struct):
    """A number."""

    number: int = 0


class Out(Row):
    """A row."""

    order_id: Str


OUT = Contract("outs", Out, key=("order_id",))


def app(*reads: Input) -> FaustApp[State]:
    return FaustApp("app", reads, (OUT,), State, lambda state, _input, _change: state, lambda _key, _state, _clock: ())


def order(number: int, customer: str, offset: int, *, gone: bool = False) -> Change:
    row = Order(f"o{number}", customer, "created", 0, None, None, None, 0)
    return Change("d" if gone else "u", (f"o{number}",), None if gone else row, Position("orders", 0, offset), 1)


def test_an_input_by_its_own_key_stays_where_it_is_and_others_come_to_it() -> None:
    direct, forwarded = routes(app(Input(ORDERS, ("order_id",)), Input(ORDER_ITEMS, ("order_id",))))
    assert (direct.forwarded, forwarded.forwarded) == (False, True)
    for name in (*(f"o{number}" for number in range(50)), *(f"\x1f{number}" for number in range(50))):
        key = codec(ORDERS).encode_key((name,))
        assert forwarded.partition((name,), 4) == partition_of(key, 4)


def test_columns_of_another_name_are_forwarded_to_where_the_first_ones_are() -> None:
    reads = Input(ORDER_REVIEWS, ("order_id",), "x"), Input(CUSTOMERS, ("customer_id",), "x")
    first, second = routes(app(*reads))
    assert second.forwarded
    assert first.partition(("a",), 64) == second.partition(("a",), 64)


def test_keys_of_unlike_spaces_and_of_joined_values_never_meet() -> None:
    keys: list[Key] = [("", "a"), ("a", ""), ("", "a", ""), ("", 'a"'), ("x", "a")]
    assert len({encode_key(key) for key in keys}) == len(keys)
    assert [decode_key(encode_key(key)) for key in keys] == keys


@pytest.mark.parametrize(
    "reads",
    [
        (Input(ORDERS, ("order_id",)), Input(ORDERS, ("order_id",))),
        (Input(ORDERS, ("no_such_column",)),),
        (Input(ORDERS, ()),),
        (Input(ORDERS, ("order_id",), "@worker"),),
        (Input(ORDERS, ("order_id",)), Input(ORDER_ITEMS, ("order_id", "order_item_id"))),
    ],
)
def test_inputs_that_cannot_meet_are_refused(reads: tuple[Input, ...]) -> None:
    with pytest.raises(BadInput):
        routes(app(*reads))


def test_a_row_that_moves_reaches_the_key_it_left_and_its_delete_all_of_them() -> None:
    (route,) = routes(app(Input(ORDERS, ("customer_id",))))
    moved = MovedKeys()
    assert moved.targets(route, order(1, "a", 0), 0.0)[0] == [("a",)]
    targets, saved = moved.targets(route, order(1, "b", 1), 0.0)
    assert (targets, saved is not None) == ([("a",), ("b",)], True)
    assert moved.targets(route, order(1, "b", 2), 0.0) == ([("a",), ("b",)], None)
    assert moved.targets(route, order(1, "", 3, gone=True), 0.0)[0] == [("a",), ("b",)]
    assert list(moved.expire(REPEATS_S - 1)) == []
    assert len(list(moved.expire(REPEATS_S))) == 1
    assert not moved.known


def test_a_deleted_row_that_comes_back_is_not_forgotten() -> None:
    (route,) = routes(app(Input(ORDERS, ("customer_id",))))
    moved = MovedKeys()
    for number, gone in enumerate((False, True, False)):
        moved.targets(route, order(1, "a", number, gone=gone), 0.0)
    assert list(moved.expire(REPEATS_S)) == []
    assert moved.known


def test_a_row_remembers_so_many_keys_and_no_more() -> None:
    (route,) = routes(app(Input(ORDERS, ("customer_id",))))
    moved = MovedKeys()
    for number in range(50):
        targets, _saved = moved.targets(route, order(1, f"c{number}", number), 0.0)
    assert len(targets) == MOST_KEYS
    assert targets[-1] == ("c49",)


def test_a_forwarded_record_tells_where_it_stood_and_is_a_delete_for_keys_it_has_left() -> None:
    (route,) = routes(app(Input(ORDERS, ("customer_id",))))
    row = dict.fromkeys(Order.__struct_fields__) | {
        "order_id": "o1",
        "customer_id": "b",
        "order_status": "created",
        "order_purchase_timestamp": 0,
        "order_estimated_delivery_date": 0,
    }
    value = msgspec.json.encode({"op": "u", "after": row, "source": {"ts_ms": 5}})
    here = Forwarded("orders", 2, 7, b'{"order_id":"o1"}', value)
    for customer, op in (("b", "u"), ("a", "d")):
        there = Forwarded("by-key", 0, 99, encode_key(("", customer)), value, route.origin_header(here))
        origin = origin_of(there)
        assert origin == Origin(route.name, "orders", 2, 7, '{"order_id":"o1"}')
        key, change = route.decode_forwarded(origin, there)
        assert (key, change.op, change.key) == (("", customer), op, ("o1",))
        assert change.position == Position("orders", 2, 7)


class Forwarded(msgspec.Struct):
    """A record as Faust gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Any = ()


def test_a_record_without_its_origin_is_refused() -> None:
    with pytest.raises(ValueError, match=ORIGIN):
        origin_of(Forwarded("by-key", 0, 1, b"[]", b"{}"))


def test_the_clock_waits_for_the_slowest_that_speaks() -> None:
    clock = WatermarkClock()
    clock.expect(["a/0", "b/0"], 0.0)
    clock.observe({"a/0": 50}, 1.0)
    assert clock.next_us(1.0) == 0
    clock.observe({"b/0": 20}, 2.0)
    assert clock.next_us(2.0) == 20


def test_the_clock_goes_on_without_one_that_is_silent_and_to_the_end_without_any() -> None:
    clock = WatermarkClock()
    clock.expect(["a/0", "b/0"], 0.0)
    clock.observe({"a/0": 50}, 1.0)
    clock.observe({"a/0": 60, "b/0": 10}, 2.0)
    clock.observe({"a/0": 70}, 2.0 + IDLE_S)
    assert clock.next_us(2.0 + IDLE_S) == 70
    clock.observe({"b/0": 90}, 30.0)
    assert clock.next_us(30.0 + IDLE_S) == 90


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.integers(0, 10)), max_size=30))
def test_the_clock_never_goes_back_and_ends_at_the_last_time(news: list[tuple[str, int, int]]) -> None:
    clock, now_s = WatermarkClock(), 0.0
    clock.expect("abc", 0.0)
    for source, us, pause_s in news:
        now_s += pause_s
        clock.observe({source: us}, now_s)
        shown = clock.next_us(now_s)
        assert shown >= clock.now_us
        clock.now_us = shown
    assert clock.next_us(now_s + IDLE_S) == max((us for _, us, _ in news), default=0)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 50)), max_size=40), st.integers(0, 50))
def test_timers_give_each_key_once_at_its_latest_setting(sets: list[tuple[str, int | None]], clock: int) -> None:
    timers = Timers()
    expected: dict[Key, int | None] = {}
    for key, due in sets:
        timers.set((key,), due)
        expected[(key,)] = due
    wanted = {key for key, due in expected.items() if due is not None and due <= clock}
    found = list(timers.pop_due(clock))
    assert sorted(found) == sorted(wanted)
    assert [expected[key] for key in found] == sorted(expected[key] for key in wanted)  # type: ignore[type-var]
    assert list(timers.pop_due(clock)) == []


def changelog(app: FaustApp[Any]) -> Changelog:
    return Changelog(Settings(), app, "topic")


def restored(*values: tuple[Key, Entry[State] | None]) -> RestoredPartition:
    written = changelog(app(Input(ORDERS, ("order_id",))))
    found = RestoredPartition()
    for key, entry in values:
        record = FakeRecord(encode_key(key), None if entry is None else written.encode(entry))
        written.apply(found, decode_key(record.key() or b""), record.value())
    return found


def test_a_state_that_a_paused_worker_wrote_over_a_newer_one_does_not_count() -> None:
    newer, older = Entry(State(9), {"/orders/order_id/0": 9}), Entry(State(3), {"/orders/order_id/0": 3})
    found = restored((("", "a"), newer), (("", "a"), older))
    assert found.entries == {("", "a"): newer}
    assert found.overtaken == {("", "a")}
    assert not restored((("", "a"), older), (("", "a"), newer)).overtaken


def test_a_forgotten_state_stays_forgotten() -> None:
    entry = Entry(State(9), {"/orders/order_id/0": 9})
    assert not restored((("", "a"), entry), (("", "a"), None)).entries


def test_a_state_of_another_shape_is_refused_and_a_new_field_takes_its_default() -> None:
    class Narrow(msgspec.Struct):
        number: str

    class Wide(msgspec.Struct):
        number: int = 0
        more: int = 5

    reads = (Input(ORDERS, ("order_id",)),)
    encoded = changelog(app(*reads)).encode(Entry(State(3)))
    wide = changelog(FaustApp("app", reads, (OUT,), Wide, lambda s, _i, _c: s, lambda _k, _s, _c: ()))
    assert wide.decode_entry(("", "a"), encoded).state == Wide(3, 5)
    narrow = changelog(FaustApp("app", reads, (OUT,), Narrow, lambda s, _i, _c: s, lambda _k, _s, _c: ()))
    with pytest.raises(Stopped, match="does not fit"):
        narrow.decode_entry(("", "a"), encoded)


def test_positions_of_a_topic_that_was_made_anew_are_refused() -> None:
    known = RestoredPartition(PartitionMetadata("code", {"orders": "old"}))
    OwnedPartition.of(app(), 0, known, "code", {"orders": "old", "customers": "new"})
    with pytest.raises(PositionRefused):
        OwnedPartition.of(app(), 0, known, "code", {"orders": "other"})


def test_a_written_row_is_read_like_any_tables() -> None:
    records = RowRecords(OUT, "shop.public")
    key, value = records.key(("o",)), records.value(Out("o"), 1_500_000_000_000_123, 7)
    change = codec(OUT).decode(key, value, Position("t", 0, 0))
    assert (change.row, change.committed_us) == (Out("o"), 1_500_000_000_000_123)
    source = msgspec.json.decode(value)["source"]
    assert (source["connector"], source["db"], source["schema"], source["table"]) == ("faust", "shop", "public", "outs")
