"""A run sends what is due, stops when asked, and gives up when nothing is acknowledged; the clock is an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from olist.errors import ServerTrouble, Stopped
from olist.positions import TopicState
from olist.settings import Settings
from olist.source import Dataset, load
from olist.tables import TABLES
from producers import kafka_producer
from producers.encoding import Origin
from producers.kafka_producer import STALL_S, Record, Sender
from producers.progress import Progress
from producers.rate import Pace
from producers.replay import Plan, Run
from producers.resume import placed
from producers.row_histories import EVENT_US
from producers.sequence import sequence
from tests.unit.producers_dataset import files, small_shop, write_folder


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeSender:
    """Takes records and acknowledges them at once; remembers when each came."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.records: list[tuple[float, Record]] = []
        self.trouble, self.unacknowledged = "", 0

    @property
    def acknowledged(self) -> int:
        return len(self.records)

    def send(self, records: list[Record]) -> None:
        self.records += [(self.clock.now, record) for record in records]

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load(write_folder(tmp_path, files(small_shop())))


def plan_of(dataset: Dataset) -> Plan:
    nothing = {0: 0, 1: 0}
    states = {table: TopicState(f"x.{table}", "id", nothing, nothing) for table in TABLES}
    changes = placed(dataset.frames, sequence(dataset.frames), 2)
    return Plan(dataset, Origin("0123456789ab.1", "x"), changes, states, 0)


def run_of(plan: Plan, pace: Pace) -> tuple[Run, FakeSender]:
    clock = Clock()
    sender = FakeSender(clock)
    return Run(plan, cast(Sender, sender), pace, Progress(plan.changes.height), clock), sender


def test_everything_is_sent_in_order_to_its_topic(dataset: Dataset) -> None:
    plan = plan_of(dataset)
    run, sender = run_of(plan, Pace())
    run.go()
    assert run.sent == len(sender.records) == plan.changes.height
    topics = [f"x.{list(TABLES)[index]}" for index in plan.changes["table"]]
    assert [record[0] for _t, record in sender.records] == topics
    assert run.progress.acknowledged == plan.changes.height


def test_no_change_is_sent_before_its_time(dataset: Dataset) -> None:
    plan = plan_of(dataset)
    day_a_second = 86_400.0
    run, sender = run_of(plan, Pace(speed=day_a_second))
    run.go()
    first = plan.changes[EVENT_US][0]
    for (sent_at, _record), event_us in zip(sender.records, plan.changes[EVENT_US], strict=True):
        due_at = (event_us - first) / 1e6 / day_a_second
        assert due_at - 1e-6 <= sent_at <= due_at + 0.2


def test_a_rate_is_kept(dataset: Dataset) -> None:
    run, sender = run_of(plan_of(dataset), Pace(rate=10))
    run.go()
    assert abs(sender.records[-1][0] - (run.sent - 1) / 10) < 0.02


def test_a_stop_ends_the_run_between_two_changes(dataset: Dataset) -> None:
    run, sender = run_of(plan_of(dataset), Pace(rate=10))

    class StopsAtFive(FakeSender):
        def send(self, records: list[Record]) -> None:
            super().send(records)
            if len(self.records) >= 5:
                run.progress.stopped_by = 15

    stopping = StopsAtFive(sender.clock)
    run.sender = cast(Sender, stopping)
    run.go()
    assert run.sent == len(stopping.records) == 5


def test_the_ends_to_expect_are_counted_per_partition(dataset: Dataset) -> None:
    plan = plan_of(dataset)
    assert set(plan.ends_after(0).values()) == {0}
    assert sum(plan.ends_after(7).values()) == 7
    whole = plan.changes.group_by("table", "partition").len()
    assert sum(plan.ends_after(plan.changes.height).values()) == whole["len"].sum()


class FakeProducer:
    """librdkafka with a broker that acknowledges nothing."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.queue: list[Record] = []

    def __len__(self) -> int:
        return len(self.queue)

    def produce(self, *record: Any) -> None:
        if len(self.queue) == 2:
            raise BufferError
        self.queue.append(cast(Record, record))

    def poll(self, seconds: float) -> None:
        pass


class TickingClock(Clock):
    """Every look takes a second."""

    def __call__(self) -> float:
        self.now += 1
        return self.now


RECORD: Record = ("x.orders", b"{}", b"{}", 0)


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    monkeypatch.setattr(kafka_producer, "Producer", FakeProducer)
    return Sender(Settings(kafka="nowhere:1"), linger_ms=5, clock=TickingClock())


def test_a_full_queue_waits_for_room_and_gives_up_in_the_end(sender: Sender) -> None:
    with pytest.raises(ServerTrouble, match=f"nowhere:1 acknowledged nothing for {STALL_S:g} s") as caught:
        sender.send([RECORD] * 3)
    assert "goes on where it stopped" in caught.value.hint


class FakeError:
    """A KafkaError, as far as callbacks look at it."""

    def __init__(self, *, fatal: bool = False) -> None:
        self._fatal = fatal

    def str(self) -> str:
        return "it broke"

    def fatal(self) -> bool:
        return self._fatal


class FakeMessage:
    def topic(self) -> str:
        return "x.orders"

    def partition(self) -> int:
        return 3


def test_a_record_that_kafka_refuses_stops_the_run_by_name(sender: Sender) -> None:
    cast(Any, sender)._delivered(FakeError(), FakeMessage())
    with pytest.raises(Stopped, match=r"topic x\.orders, partition 3: Kafka refused a record: it broke"):
        sender.wait(0)


def test_trouble_is_told_and_only_fatal_trouble_stops(sender: Sender) -> None:
    sender.send([RECORD])
    cast(Any, sender)._troubled(FakeError())
    sender.wait(0)
    assert sender.trouble == "it broke"
    cast(Any, sender)._troubled(FakeError(fatal=True))
    with pytest.raises(Stopped, match="cannot go on: it broke"):
        sender.wait(0)


def test_the_producer_is_idempotent_and_places_keys_as_java_does(sender: Sender) -> None:
    config = cast(Any, sender)._producer.config
    assert config["enable.idempotence"] is True
    assert config["partitioner"] == "murmur2_random"
    assert config["message.timeout.ms"] == 0


def test_a_plan_of_nothing_is_done_at_once(dataset: Dataset) -> None:
    plan = plan_of(dataset)
    empty = Plan(plan.dataset, plan.origin, plan.changes.head(0), plan.states, 9)
    run, sender = run_of(empty, Pace(speed=1))
    run.go()
    assert (run.sent, sender.records) == (0, [])
