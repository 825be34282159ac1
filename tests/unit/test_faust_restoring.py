"""What a worker writes when a partition is assigned to it, and in which order that lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from faust.types import TP

from olist.changes import Change
from olist.contracts import Contract, Int, Row, Str
from olist.settings import Settings
from olist.tables import ORDERS
from olist.topics.dead_letters import DeadLetters
from stream_apps.app import FaustApp, Input, Key, Out
from stream_apps.faust.changelog import METADATA, Changelog, Entry, PartitionMetadata, RestoredPartition, decode_key
from stream_apps.faust.names import names
from stream_apps.faust.owned_partition import OwnedPartition
from stream_apps.faust.producer import AppProducer, BufferedProducer
from stream_apps.faust.record_processor import RecordProcessor
from stream_apps.faust.worker_loop import WorkerLoop
from stream_apps.faust.worker_status import Status, StatusFile

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

    def produce(self, topic: str, key: bytes, value: bytes | None, *_: Any) -> None:
        if topic.endswith(".state"):
            assert decode_key(key) == METADATA
            self.log.append(f"code {msgspec.json.decode(value or b'', type=PartitionMetadata).code!r}")
        else:
            self.log.append(ROW)

    async def flush(self) -> None:
        if self.log[-1:] not in ([], [FLUSHED]):
            self.log.append(FLUSHED)


class Given(Changelog):
    """Holds what the test says."""

    content: RestoredPartition

    def restore(self, partition: int) -> RestoredPartition:
        return self.content


def restored(content: RestoredPartition, code: str) -> list[str]:
    """What a worker of that version writes, in order."""
    settings, written = Settings(partitions=1), Written()
    named = names(settings, APP, "")
    changelog = Given(settings, APP, named.state)
    changelog.content = content
    status = StatusFile(Status(APP.name, named.group), None)
    producer = AppProducer(APP, settings, named.by_key, changelog, cast(BufferedProducer, written), status)
    processor = RecordProcessor(APP, settings, named.by_key, producer, cast(DeadLetters, None), status)
    asyncio.run(WorkerLoop(settings, named.group, processor, changelog, {ORDERS.table: "id"}, code)._restore(0))
    return written.log


def states() -> dict[Key, Entry[Any]]:
    return {("", "c1"): Entry(State(1)), ("", "c2"): Entry(State(2))}


def test_rows_of_another_version_are_written_anew_between_two_notes_that_last() -> None:
    anew = ["code ''", FLUSHED, ROW, ROW, FLUSHED, "code 'new'", FLUSHED]

    assert restored(RestoredPartition(PartitionMetadata("old"), states()), "new") == anew


@pytest.mark.parametrize("metadata", [PartitionMetadata(""), None])
def test_rows_that_a_worker_left_half_written_are_written_anew_by_its_heir(metadata: PartitionMetadata | None) -> None:
    assert restored(RestoredPartition(metadata, states()), "old").count(ROW) == 2


def test_rows_of_the_same_version_are_left_alone() -> None:
    assert restored(RestoredPartition(PartitionMetadata("same"), states()), "same") == ["code 'same'", FLUSHED]


def test_a_new_partition_is_of_the_version_that_begins_it_before_its_first_record() -> None:
    assert restored(RestoredPartition(), "first") == ["code 'first'", FLUSHED]


class Processor:
    """Remembers what it is to process."""

    def __init__(self, app: FaustApp[Any]) -> None:
        self.app, self.producer, self.reached = app, SimpleNamespace(flush=None), dict[str, int]()
        self.status, self.forwarded_topic = StatusFile(Status(app.name, "group"), None), "by-key"
        self.processed: list[OwnedPartition] = []

    async def process(self, partition: OwnedPartition, _record: Any) -> None:
        self.processed.append(partition)


def loop_and_processor() -> tuple[WorkerLoop, Processor]:
    processor = Processor(APP)
    loop = WorkerLoop(Settings(partitions=1), "group", cast(RecordProcessor, processor), cast(Changelog, None), {}, "")
    loop._last_ran_s = time.monotonic()
    return loop, processor


RECORD = SimpleNamespace(topic="orders", partition=0, offset=7)
AT = TP("orders", 0)


def test_a_record_whose_partition_is_revoked_before_it_is_restored_is_neither_processed_nor_passed() -> None:
    async def run() -> None:
        loop, processor = loop_and_processor()
        loop._restoring = {0: asyncio.ensure_future(asyncio.Event().wait())}  # type: ignore[arg-type] # never ends
        processing = asyncio.create_task(loop.process(AT, cast(Any, RECORD)))
        await asyncio.sleep(0)
        loop._drop_partitions()
        await processing
        assert not processor.processed
        assert not loop.processed

    asyncio.run(run())


def test_a_record_waits_for_its_partition_to_be_restored_and_is_passed_once_it_is_processed() -> None:
    async def run() -> None:
        loop, processor = loop_and_processor()
        restored = OwnedPartition.of(APP, 0, RestoredPartition(), "", {})

        async def restore() -> OwnedPartition:
            loop.partitions[0] = restored
            return restored

        loop._restoring = {0: asyncio.ensure_future(restore())}
        await loop.process(AT, cast(Any, RECORD))
        assert processor.processed == [restored]
        assert loop.processed == {AT: 8}

    asyncio.run(run())
