"""From a lake table's bound to the sink's pace: runner and lake tables are real, a clock that polling moves is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import cast

import pytest

from olist.batches import OFFSET
from olist.lake.backpressure import LONGEST_PAUSE_S, MOST_FILES
from olist.lake.catalog import identifier
from olist.lake.live_rows import live_rows
from olist.positions import TopicState
from olist.topics.reader import Consumed
from sinks.iceberg.table import IcebergTable
from sinks.runtime.runner import Runner
from sinks.runtime.source import Polled, Source
from sinks.runtime.writer import TableWriter
from tests.lakes import NOTES, Lake, local_settings
from tests.records import record_of
from tests.unit.test_writer import FakeDeadLetters

TOPIC = "p.notes"
INTERVAL_S = 1.0
BOUND = 10
COMPACTED_S, END_S = 100.0, 120.0
HISTORY = f"{NOTES.table}_changes"


class Trickle(Source):
    """A topic that gets a change of one key every second. What comes in a pause stays at the broker till its end."""

    def __init__(self, stopping: Event, compact: Callable[[], object]) -> None:
        self.stopping, self.compact = stopping, compact
        self.now_s = self.paused_until_s = 0.0
        self.taken = 0
        self.batches: list[float] = []  # when each was taken

    def poll(self, most: int, within_s: float) -> Polled:
        before_s, self.now_s = self.now_s, self.now_s + within_s
        if before_s < COMPACTED_S <= self.now_s:
            self.compact()
        polled = Polled()
        if self.now_s >= self.paused_until_s:
            end = int(self.now_s)
            polled.records[TOPIC] = [cast(Consumed, change(offset)) for offset in range(self.taken, end)]
            self.taken = end
            self.batches.append(self.now_s)
        if self.now_s >= END_S:
            self.stopping.set()
        return polled

    def pause(self, topic: str, until: float) -> None:
        assert topic == TOPIC
        self.paused_until_s = until

    def note(self, texts: Mapping[str, str]) -> None: ...

    def close(self) -> None: ...


def change(offset: int) -> object:
    row = {"note_id": 1, "place": "here", "value": offset, "price": None, "seen_at": 1, "words": None}
    return record_of(NOTES, row, offset, op="u")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(local_settings(tmp_path))


def run(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Trickle:
    """A sink of the notes until `END_S`, with a compaction of both its tables at `COMPACTED_S`."""
    stopping = Event()
    source = Trickle(stopping, lambda: [lake.compact(lake.job(history=history)) for history in (False, True)])
    monkeypatch.setattr("sinks.runtime.runner.time", SimpleNamespace(monotonic=lambda: source.now_s))
    table = IcebergTable(NOTES, lake.settings)
    writer = TableWriter(TOPIC, table, FakeDeadLetters())
    state = TopicState(TOPIC, "id-1", {0: 0}, {0: int(END_S)})
    runner = Runner({TOPIC: writer}, lambda _topics: {TOPIC: state}, stopping, patience_s=10.0, threads=1)
    runner.assigned({TOPIC: frozenset({0})})
    runner.run(source, most=1000, interval_s=INTERVAL_S)
    return source


@pytest.mark.parametrize("bounded", [NOTES.table, HISTORY])
def test_a_sink_commits_less_often_beyond_the_bound_of_either_table_and_goes_on_once_compacted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, bounded: str
) -> None:
    for history in (False, True):
        lake.writer(history=history)
    with lake.catalog.load_table(identifier(bounded)).transaction() as transaction:
        transaction.set_properties({MOST_FILES: str(BOUND)})
    source = run(lake, monkeypatch)
    before = [at_s for at_s in source.batches if at_s < COMPACTED_S]
    after = [at_s for at_s in source.batches if at_s >= COMPACTED_S]
    gaps = [later - sooner for sooner, later in pairwise(before)]
    per_commit = 1 if bounded == HISTORY else 2  # a data file, and a delete file for the row that it replaces
    free = BOUND // per_commit
    assert gaps[:free] == [INTERVAL_S] * free
    assert gaps[free:] == sorted(gaps[free:]), "the longer the more files there are"
    assert gaps[-1] >= LONGEST_PAUSE_S
    assert [later - sooner for sooner, later in pairwise(after)][:3] == [INTERVAL_S] * 3
    rows = [rows for _file, rows in live_rows(lake.catalog.load_table(identifier(HISTORY)), [OFFSET])]
    assert sorted(offset for part in rows for offset in part[OFFSET]) == list(range(source.taken))
    assert lake.held() == {1: source.taken - 1}
