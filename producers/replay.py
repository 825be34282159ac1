"""Replay a data set onto the topics: what is not there yet, in order, at a pace, until it is done or told to stop.

The guarantee: however a run ends, kill -9 included, each partition holds a prefix of its changes, each exactly once;
the next run goes on after it. Two replays at once are found by the offsets not adding up, and both stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from olist.contracts import Contract
from olist.errors import Stopped
from olist.positions import TopicState
from olist.settings import Settings
from olist.source import Dataset
from olist.tables import TABLES
from olist.topics.admin import admin_client, ensure_topics, topic_states
from producers.encoding import KEY, VALUE, Origin, encode
from producers.kafka_producer import Record, Sender
from producers.progress import Progress
from producers.rate import Pace
from producers.resume import PARTITION, check_last_records, last_records, pending, placed
from producers.row_histories import EVENT_US
from producers.sequence import TABLE, TABLE_NAMES, VERSION, sequence

CHUNK = 20_000  # changes encoded at a time: 16 MB of JSON
BURST = 2_000  # changes between two looks at the clock and the stop flag
SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.005, 0.1  # of a paced run: to wake for every change would cost more than it
FULL_SPEED_LINGER_MS, PACED_LINGER_MS = 50, 5


@dataclass(frozen=True)
class Plan:
    """What is to be sent, and what the topics hold already."""

    dataset: Dataset
    origin: Origin
    changes: pl.DataFrame
    states: dict[str, TopicState]
    done: int

    def ends_after(self, sent: int) -> dict[tuple[str, int], int]:
        """The end offset of each topic and partition once the first of the changes are on them."""
        counts = self.changes.head(sent).group_by(TABLE, PARTITION).len().iter_rows()
        ends = {(s.topic, partition): end for s in self.states.values() for partition, end in s.end.items()}
        for table, partition, count in counts:
            ends[self.states[TABLE_NAMES[table]].topic, partition] += count
        return ends


def origin_of(dataset: Dataset, settings: Settings) -> Origin:
    """How this data set's changes name themselves."""
    return Origin(f"{dataset.fingerprint}.{VERSION}", settings.topic_prefix)


def make_plan(dataset: Dataset, settings: Settings, tables: tuple[Contract, ...], limit: int | None) -> Plan:
    """Compare the data set's sequence with the topics, making those that are missing.

    Raises:
        Stopped: the topics hold something else.
        ServerTrouble: Kafka does not answer.
    """
    origin = origin_of(dataset, settings)
    changes = placed(dataset.frames, sequence(dataset.frames), settings.partitions)
    states = ensure_topics(settings, tables)
    check_last_records(changes, last_records(settings, states), origin)
    to_do = pending(changes, states)
    done = sum(end for state in states.values() for end in state.end.values())
    return Plan(dataset, origin, to_do if limit is None else to_do.head(limit), states, done)


@dataclass
class Run:
    """Sends a plan's changes at a pace. After `go`, `sent` of them are on the topics."""

    plan: Plan
    sender: Sender
    pace: Pace
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    sent: int = 0

    def go(self) -> None:
        """Send until all is sent or `progress.stopped_by` is set, then wait for the acknowledgements.

        Raises:
            ServerTrouble: Kafka stopped answering.
            Stopped: Kafka refused a record.
        """
        event_us = self.plan.changes[EVENT_US].to_numpy()
        started = self.clock()
        for records in _chunks(self.plan):
            self._send_chunk(records, event_us, started)
            if self.progress.stopped_by is not None:
                break
        while self.sender.unacknowledged:
            self.sender.wait(LONGEST_WAIT_S)
            self._report(event_us)

    def _send_chunk(self, records: list[Record], event_us: NDArray[np.int64], started: float) -> None:
        """Send records as they fall due; nothing more once a stop is asked for."""
        first = self.sent
        while (at := self.sent - first) < len(records) and self.progress.stopped_by is None:
            elapsed = self.clock() - started
            due = self.pace.due(event_us, elapsed) - self.sent
            if due > 0:
                burst = records[at : at + min(due, BURST)]
                self.sender.send(burst)
                self.sent += len(burst)
            else:
                in_s = self.pace.due_at_s(event_us, self.sent) - elapsed
                self.sender.wait(min(LONGEST_WAIT_S, max(SHORTEST_WAIT_S, in_s)))
            self._report(event_us)

    def _report(self, event_us: NDArray[np.int64]) -> None:
        self.progress.acknowledged, self.progress.trouble = self.sender.acknowledged, self.sender.trouble
        self.progress.event_us = int(event_us[self.sent - 1]) if self.sent else None


def _chunks(plan: Plan) -> Iterator[list[Record]]:
    """The records, encoded a chunk at a time."""
    topics = [plan.states[table].topic if table in plan.states else "" for table in TABLES]
    for chunk in plan.changes.iter_slices(CHUNK):
        records = encode(plan.dataset.frames, chunk, plan.origin)
        names = [topics[index] for index in records[TABLE].to_list()]
        fields = (records[name].to_list() for name in (VALUE, KEY, PARTITION))
        yield list(zip(names, *fields, strict=True))


def check_ends(settings: Settings, expected: Mapping[tuple[str, int], int]) -> None:
    """Refuse to believe that all went well unless every partition ends where our own count says.

    Raises:
        Stopped: a partition has other records than ours.
    """
    topics = sorted({topic for topic, _partition in expected})
    found = topic_states(admin_client(settings), topics)
    for (topic, partition), end in expected.items():
        if (now := found[topic].end[partition]) != end:
            raise Stopped(
                f"topic {topic}, partition {partition} ends at {now}, not at {end}: another replay, the rest of one "
                "that was just killed, or something else writes to it",
                hint="when no other replay runs, start this one again: it sees what the topics hold by then",
            )
