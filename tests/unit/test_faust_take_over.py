"""What a worker writes when it takes a partition over, and in which order that lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from olist.changes import Change
from olist.contracts import Contract, Int, Row, Str
from olist.dead_letters import DeadLetters
from olist.settings import Settings
from olist.tables import ORDERS
from stream_apps.app import FaustApp, Input, Key, Out
from stream_apps.faust.memory import Memory, Remembered
from stream_apps.faust.names import names
from stream_apps.faust.routes import key_from
from stream_apps.faust.shell import Shell
from stream_apps.faust.state import WORKER, Entry, Worker
from stream_apps.faust.taking import Taker
from stream_apps.faust.telling import Status, Told
from stream_apps.faust.writer import Writer

FLUSHED = "flushed"
ROW = "a row"


class State(msgspec.Struct):
    """How many."""

    number: int = 0


class Counted(Row):
    """A row."""

    customer_id: Str
    orders: Int


OUT = Contract("counted", Counted, ("customer_id",))


def fold(state: State, _given: Input, _change: Change) -> State:
    return state


def rows(key: Key, state: State, _clock_us: int) -> Iterator[Out]:
    yield OUT, Counted(key[1], state.number)


APP = FaustApp("counted", (Input(ORDERS, ("customer_id",)),), (OUT,), State, fold, rows)


class Written:
    """In place of the producer: remembers what was written, and when it was made to last."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def write(self, topic: str, key: bytes, value: bytes | None, *_: Any) -> None:
        if topic.endswith(".state"):
            assert key_from(key) == WORKER
            self.log.append(f"code {msgspec.json.decode(value or b'', type=Worker).code!r}")
        else:
            self.log.append(ROW)

    async def flush(self) -> None:
        if self.log[-1:] not in ([], [FLUSHED]):
            self.log.append(FLUSHED)


class Remembering(Memory):
    """Remembers what the test says."""

    remembered: Remembered

    def recall(self, partition: int) -> Remembered:
        return self.remembered


def taken_over(remembered: Remembered, code: str) -> list[str]:
    """What a worker of that version writes, in order."""
    settings, written = Settings(partitions=1), Written()
    named = names(settings, APP, "")
    writer = cast(Writer, written)
    memory = Remembering(settings, APP, named.state, writer)
    memory.remembered = remembered
    told = Told(Status(APP.name, named.group), None)
    taker = Taker(APP, settings, named, memory, writer, cast(DeadLetters, None), told)
    asyncio.run(Shell(settings, taker, {ORDERS.table: "id"}, code)._take_over(0))
    return written.log


def states() -> dict[Key, Entry[Any]]:
    return {("", "c1"): Entry(State(1)), ("", "c2"): Entry(State(2))}


def test_rows_of_another_version_are_written_anew_between_two_notes_that_last() -> None:
    anew = ["code ''", FLUSHED, ROW, ROW, FLUSHED, "code 'new'", FLUSHED]

    assert taken_over(Remembered(Worker("old"), states()), "new") == anew


@pytest.mark.parametrize("worker", [Worker(""), None])
def test_rows_that_a_worker_left_half_written_are_written_anew_by_its_heir(worker: Worker | None) -> None:
    assert taken_over(Remembered(worker, states()), "old").count(ROW) == 2


def test_rows_of_the_same_version_are_left_alone() -> None:
    assert taken_over(Remembered(Worker("same"), states()), "same") == ["code 'same'", FLUSHED]


def test_a_new_partition_is_of_the_version_that_begins_it_before_its_first_record() -> None:
    assert taken_over(Remembered(), "first") == ["code 'first'", FLUSHED]
