"""A partition's worker is killed at any moment, and what was not flushed is lost in part: the end is the same.

The model is the worker's protocol without Kafka: writes to the state topic and to the outputs wait in queues of their
own, a flush makes them last, a commit flushes and remembers how far the input was taken, and a clock is written down
and flushed before it is shown. A kill keeps any prefix of each queue.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from olist.changes import Change, Position
from olist.contracts import Contract, Int, Row, Str
from olist.settings import Settings
from olist.tables import ORDERS, Order
from stream_apps.app import FaustApp, Input, Key, Out
from stream_apps.faust.changelog import Changelog, decode_key, encode_key
from stream_apps.faust.partition_states import REPEATS_S, PartitionStates, StateUpdate

DAY = 86_400_000_000
K = TypeVar("K")
V = TypeVar("V")


class Seen(Row):
    """One row per status that an order was in while its clock had passed a day: rows come and go."""

    order_id: Str
    status: Str
    changes: Int


SEEN = Contract("seen", Seen, key=("order_id", "status"))


class State(msgspec.Struct):
    """How many changes, and the last one."""

    changes: int = 0
    status: str = ""
    at: int = 0


def fold(state: State, _given: Input, change: Change) -> State:
    if not isinstance(change.row, Order):
        return State()
    return State(state.changes + 1, change.row.order_status, change.committed_us)


def rows(key: Key, state: State, clock_us: int) -> Iterable[Out]:
    if state.changes:
        yield SEEN, Seen(key[1], state.status, state.changes)
        if clock_us >= state.at + DAY:
            yield SEEN, Seen(key[1], "old", state.changes)


def due(state: State, clock_us: int) -> int | None:
    return state.at + DAY if state.changes and state.at + DAY > clock_us else None


READS = Input(ORDERS, ("order_id",))
APP = FaustApp("seen", (READS,), (SEEN,), State, fold, rows, due)


class World:
    """What lasts, what waits, and the worker that is there now."""

    def __init__(self, changes: list[Change]) -> None:
        self.changes, self.changelog = changes, Changelog(Settings(), APP, "states")
        self.states: dict[bytes, bytes] = {}
        self.output: dict[tuple[Any, ...], Row] = {}
        self.committed = self.clock_us = self.at = 0
        self.now_s = 0.0
        self.waiting_states: list[tuple[bytes, bytes | None]] = []
        self.waiting_rows: list[tuple[tuple[Any, ...], Row | None]] = []
        self.partition = PartitionStates(APP)

    def take(self) -> None:
        if self.at < len(self.changes):
            change = self.changes[self.at]
            self.at += 1
            self.queue([self.partition.apply(("", change.key[0]), "orders/0", READS, change, self.now_s)])

    def tick(self, days: int) -> None:
        self.flush()
        self.clock_us += days * DAY
        self.now_s += days
        self.queue(self.partition.advance(self.clock_us, self.now_s))

    def commit(self) -> None:
        self.flush()
        self.committed = self.at

    def kill(self, states_kept: int, rows_kept: int) -> None:
        self._last(self.waiting_states[:states_kept], self.waiting_rows[:rows_kept])
        keys = {decode_key(key): value for key, value in self.states.items()}
        entries = {key: self.changelog.decode_entry(key, value) for key, value in keys.items()}
        self.partition = PartitionStates(APP, self.clock_us, entries)
        self.at = self.committed
        self.queue(self.partition.restored(self.now_s))

    def queue(self, updates: Iterable[StateUpdate]) -> None:
        for update in updates:
            if update.save:
                value = None if update.entry is None else self.changelog.encode(update.entry)
                self.waiting_states.append((encode_key(update.key), value))
            self.waiting_rows += [(change.key, change.row) for change in update.rows]

    def flush(self) -> None:
        self._last(self.waiting_states, self.waiting_rows)

    def _last(self, states: list[tuple[bytes, bytes | None]], rows: list[tuple[tuple[Any, ...], Row | None]]) -> None:
        _apply(self.states, states)
        _apply(self.output, rows)
        self.waiting_states, self.waiting_rows = [], []


def _apply(into: dict[K, V], some: Iterable[tuple[K, V | None]]) -> None:
    for key, value in some:
        if value is None:
            into.pop(key, None)
        else:
            into[key] = value


def changed(at: int, order: str, status: str | None) -> Change:
    row = None if status is None else Order(order, "c", status, 0, None, None, None, 0)
    return Change("u" if row else "d", (order,), row, Position(ORDERS.table, 0, at), at * DAY // 2)


some_changes = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", "z", None])), max_size=12)
deeds = st.lists(
    st.one_of(
        st.just(("take",)),
        st.just(("commit",)),
        st.tuples(st.just("tick"), st.integers(1, 3)),
        st.tuples(st.just("kill"), st.integers(0, 6), st.integers(0, 6)),
    ),
    max_size=40,
)


@examples(max_examples=800, deadline=timedelta(seconds=5))
@given(some_changes, deeds)
def test_a_killed_worker_ends_where_one_that_was_never_killed_does(
    some: list[tuple[str, str | None]], deeds: list[tuple[Any, ...]]
) -> None:
    changes = [changed(at, order, status) for at, (order, status) in enumerate(some)]
    world = World(changes)
    for name, *arguments in deeds:
        getattr(world, name)(*arguments)
    while world.at < len(changes):
        world.take()
    world.tick(100)
    world.commit()
    calm = World(changes)
    while calm.at < len(changes):
        calm.take()
    calm.tick(world.clock_us // DAY)
    calm.commit()
    assert world.output == calm.output
    assert {k: msgspec.json.decode(v)["state"] for k, v in world.states.items()} == {
        k: msgspec.json.decode(v)["state"] for k, v in calm.states.items()
    }


def test_a_key_of_which_nothing_is_left_is_forgotten_once_no_repeat_can_come() -> None:
    world = World([changed(0, "a", "x"), changed(1, "a", None)])
    world.take()
    world.take()
    world.commit()
    assert world.states
    world.now_s += REPEATS_S - 1
    world.tick(0)
    assert world.partition.entries
    world.now_s += 1
    world.tick(0)
    world.commit()
    assert not world.partition.entries
    assert not world.states
    assert not world.output
