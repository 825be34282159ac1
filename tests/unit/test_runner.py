"""Tables beside each other in one runner: what one of them suffers the others do not notice, and it comes back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import cast

import pytest
from prometheus_client import REGISTRY

from olist.batches import Batch
from olist.errors import ContractRefused, Fenced, OlistError, PositionRefused, ServerTrouble, Stopped, TablesStopped
from olist.positions import Positions, TopicState
from olist.tables import ORDER_ITEMS
from olist.topics.reader import Consumed
from sinks.base import Staged
from sinks.runtime import runner, table_state
from sinks.runtime.runner import Runner
from sinks.runtime.source import Polled, Source
from sinks.runtime.writer import TableWriter
from tests.records import record_of
from tests.unit.test_writer import ITEM, FakeDeadLetters, Table

ALONE = frozenset({0})
RECORDS = 30


class Topics(Source):
    """Topics in memory, a record of each at every poll, read from where the runner says."""

    def __init__(self, topics: Sequence[str], stopping: Event) -> None:
        self.at = dict.fromkeys(topics, 0)
        self.pauses: dict[str, float] = {}
        self.stopping = stopping
        self.until: Callable[[], bool] = lambda: False
        self.failed: dict[str, OlistError] = {}
        self.notes: dict[str, str] = {}
        self.leave: Callable[[Mapping[str, frozenset[int]]], object] = lambda _owned: None
        self.polls = 0

    def poll(self, most: int, within_s: float) -> Polled:
        self.polls += 1
        if self.until() or self.polls > 2_000:
            self.stopping.set()
        self.stopping.wait(0.001)
        polled = Polled(failed=self.failed)
        self.failed = {}
        for topic, offset in self.at.items():
            if offset < RECORDS and self.pauses.get(topic, 0.0) != math.inf:
                polled.records[topic] = [cast(Consumed, record_of(ORDER_ITEMS, ITEM, offset))]
                self.at[topic] = offset + 1
        return polled

    def pause(self, topic: str, until: float) -> None:
        self.pauses[topic] = until

    def seek(self, topic: str, starts: Mapping[int, int]) -> None:
        self.pauses.pop(topic, None)
        self.at[topic] = starts[0]

    def note(self, texts: Mapping[str, str]) -> None:
        self.notes |= texts

    def close(self) -> None:
        self.leave({})


class Scripted(Table):
    """Fails as its script says, a step for each opening and commit; `hold` keeps a commit in its thread."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self.topic, self.offsets = topic, list[int]()
        self.opening: list[BaseException] = []
        self.committing: list[BaseException] = []
        self.hold = Event()
        self.hold.set()

    def open(self) -> Positions | None:
        if self.opening:
            raise self.opening.pop(0)
        return super().open()

    def stage(self, batch: Batch) -> Staged[None]:
        return Staged(batch, None)

    def commit(self, staged: Staged[None], expected: Positions) -> Positions:
        self.hold.wait(10)
        if self.committing:
            raise self.committing.pop(0)
        self.offsets += staged.batch.frame["_kafka_offset"].to_list()
        self.stored = expected.advanced(staged.batch.next)
        return self.stored


class Bench:
    """A runner over some tables, each alone on its topic."""

    def __init__(self, *names: str) -> None:
        self.stopping = Event()
        self.tables = {name: Scripted(name) for name in names}
        self.source = Topics(names, self.stopping)
        self.missing: set[str] = set()
        writers = {name: TableWriter(name, table, FakeDeadLetters()) for name, table in self.tables.items()}
        for writer in writers.values():
            writer.labels = ("fake", writer.topic)
        self.runner = Runner(writers, self.states, self.stopping, patience_s=1.0, threads=2)
        self.source.leave = self.runner.assigned  # as a consumer that closes gives its partitions up

    def states(self, topics: Sequence[str]) -> Mapping[str, TopicState]:
        if gone := self.missing.intersection(topics):
            raise Stopped(f"there is no topic {gone}")
        return {topic: TopicState(topic, "id-1", {0: 0}, {0: RECORDS}) for topic in topics}

    def run(self, until: Callable[[], bool] | None = None) -> None:
        self.source.until = until or (lambda: all(map(self.is_whole, self.tables)))
        starts = self.runner.assigned(dict.fromkeys(self.tables, ALONE))
        for topic in self.tables:
            if topic not in starts:
                self.source.pause(topic, math.inf)
        self.runner.run(self.source, most=10, interval_s=0.001)

    def is_whole(self, name: str) -> bool:
        """Whether each record was written once, in order."""
        return self.tables[name].offsets == list(range(RECORDS))


def state_of(table: str, state: str) -> float | None:
    return REGISTRY.get_sample_value("olist_sink_table_state", {"sink": "fake", "table": table, "state": state})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_state, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(table_state, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(table_state, "REOPEN_AFTER_S", 0.02)


def test_a_table_that_is_refused_stops_alone_and_the_others_are_carried_to_their_end() -> None:
    bench = Bench("refused", "other", "third")
    bench.tables["refused"].opening = [ContractRefused("an analyst's column")] * 10_000
    with pytest.raises(ContractRefused, match="an analyst's column"):
        bench.run(lambda: bench.is_whole("other") and bench.is_whole("third"))
    assert bench.is_whole("other")
    assert bench.tables["refused"].offsets == []
    assert bench.source.notes["other"] == ""
    assert "ContractRefused: an analyst's column" in bench.source.notes["refused"]
    assert [state_of("refused", state) for state in table_state.STATES] == [0.0, 0.0, 1.0]
    assert state_of("other", "running") == 1.0


def test_a_refused_table_comes_back_by_itself_when_somebody_has_mended_it() -> None:
    bench = Bench("mended", "other")
    bench.tables["mended"].opening = [ContractRefused("an analyst's column")] * 2
    bench.run()
    assert bench.is_whole("mended")
    assert state_of("mended", "running") == 1.0


@pytest.mark.parametrize("error", [ServerTrouble("s3", "503"), Fenced("another process"), PositionRefused("moved")])
def test_a_table_whose_commit_fails_is_opened_again_and_goes_on_where_it_stands(error: BaseException) -> None:
    bench = Bench("failing", "other")
    bench.tables["failing"].committing = [error, error]
    bench.run()
    assert bench.is_whole("failing")
    assert bench.is_whole("other")


def test_an_unforeseen_error_stops_its_table_alone_and_for_good() -> None:
    bench = Bench("broken", "other")
    bench.tables["broken"].committing = [KeyError("unforeseen")]
    with pytest.raises(KeyError, match="unforeseen"):
        bench.run(lambda: bench.is_whole("other"))
    assert bench.is_whole("other")
    assert bench.tables["broken"].calls.count("open") == 1


def test_a_table_that_writes_for_long_holds_up_no_other_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SLOW_S", 0.005)
    bench = Bench("slow", "other")
    bench.tables["slow"].hold.clear()

    def until() -> bool:
        if bench.is_whole("other"):
            bench.tables["slow"].hold.set()
        return bench.is_whole("slow")

    bench.run(until)
    assert bench.is_whole("slow")


def test_the_process_ends_when_no_table_can_go_on_and_names_each() -> None:
    bench = Bench("one", "two")
    bench.tables["one"].committing = [KeyError("unforeseen")]
    bench.tables["two"].opening = [ContractRefused("a column", hint="drop it")] * 10_000
    with pytest.raises(TablesStopped) as ended:
        bench.run(lambda: False)
    assert "one: KeyError" in str(ended.value)
    assert "two: ContractRefused: a column" in str(ended.value)
    assert ended.value.hint == "drop it"
    assert not bench.stopping.is_set()


def test_a_topic_that_is_gone_stops_its_own_table() -> None:
    bench = Bench("gone", "other")

    def until() -> bool:
        if len(bench.tables["gone"].offsets) == 3:
            bench.missing = {"gone"}
        return bench.is_whole("other")

    with pytest.raises(Stopped, match="there is no topic"):
        bench.run(until)
    assert len(bench.tables["gone"].offsets) < RECORDS


def test_an_offset_that_is_gone_from_a_topic_stops_its_own_table() -> None:
    bench = Bench("cut", "other")
    bench.source.failed = {"cut": PositionRefused("the topic does not have the offset")}
    bench.tables["cut"].opening = []
    bench.run()
    assert bench.is_whole("cut"), "it is there after all when it is looked at again"


def test_a_fence_is_said_even_if_the_partitions_are_given_up_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "SLOW_S", 0.001)
    bench = Bench("zombie")
    bench.runner.assigned({"zombie": ALONE})
    table = bench.tables["zombie"]
    table.hold.clear()
    table.committing = [Fenced("another process has written it")]
    bench.runner.flush(bench.source.poll(1, 0.0))
    table.hold.set()
    bench.runner.assigned({})
    assert "Fenced: another process has written it" in capsys.readouterr().out


def test_what_is_in_a_thread_is_finished_before_partitions_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SLOW_S", 0.001)
    bench = Bench("slow")
    bench.runner.assigned({"slow": ALONE})
    table = bench.tables["slow"]
    table.hold.clear()
    bench.runner.flush(bench.source.poll(1, 0.0))
    assert table.offsets == []
    table.hold.set()
    assert bench.runner.assigned({}) == {}
    assert table.offsets == [0]
