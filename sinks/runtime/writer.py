"""One table of one target: takes over partitions, writes batches.

A flush, in this order:

1. decode        records -> columns; what fails is set aside
2. stage         the target gets the rows, uncommitted, and names those it refuses
3. dead letters  everything set aside is written there and acknowledged
4. commit        rows and positions count together, or this process is fenced

After a `ServerTrouble` in 2 to 4, or a fence, the runner opens the table again later (`take_over`), and reading goes on
at the positions it holds then. Those are the end of the batch when a commit whose answer was lost had landed, its start
when it had not, and elsewhere when another process has written.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import structlog

from olist import telemetry
from olist.batches import Batch, Rejected, decode_batch
from olist.positions import Positions, TopicState, check_topic
from olist.topics.dead_letters import DeadLetters
from olist.topics.reader import Consumed
from sinks.base import SinkTable

log = structlog.get_logger()

# Unknown fields told apart by name; a producer that makes up names must not fill the metrics and the log.
MOST_NAMES = 100
OTHER_NAMES = "(others)"
MOST_REASONS = 3  # of dead letters told apart in the log, per batch; all are on their topic


class TableWriter:
    """Carries one topic to one table. Used from one thread at a time."""

    def __init__(self, topic: str, table: SinkTable[Any], dead_letters: DeadLetters) -> None:
        self.topic, self.table, self.dead_letters = topic, table, dead_letters
        self.owned: frozenset[int] = frozenset()
        self._positions: Positions | None = None
        self.labels = (table.name, table.contract.table)
        self._known_unknowns: set[str] = set()
        # Origins of dead letters written since the last commit: a batch may come again after an error.
        self._dead_lettered: set[Hashable] = set()

    @property
    def positions(self) -> Positions:
        """Where this process believes the target to stand."""
        if self._positions is None:
            raise RuntimeError(f"{self.topic} is written before it was taken over")
        return self._positions

    def take_over(self, owned: frozenset[int], state: TopicState) -> dict[int, int]:
        """Open the table for these partitions; return where to go on reading each.

        Raises:
            PositionRefused: the topic is not the one whose positions the target holds.
            ContractRefused: the table there does not fit the contract.
            ServerTrouble: it cannot be opened now.
        """
        self.owned = owned
        self._positions = self._open(state)
        return self.positions.of(owned)

    def has_news(self, records: Sequence[Consumed], ends: Mapping[int, int]) -> bool:
        """Whether a poll brought records, or passed transaction markers, beyond what the target holds."""
        return bool(records) or any(end > self.positions.next[p] for p, end in ends.items())

    def write(self, records: Sequence[Consumed], ends: Mapping[int, int]) -> None:
        """Flush what a poll brought. After an error the table must be taken over again before the next.

        Raises:
            Fenced, TooManyDeadLetters: nothing of the batch counts.
            ServerTrouble: whether the batch counts is not known until the table is opened again.
        """
        with self.measured("decode"):
            batch = self._decode(records, ends)
        self._count_unknown(batch)
        self._positions = self._flush(batch, records)
        self._dead_lettered.clear()
        telemetry.CHANGES_WRITTEN.labels(*self.labels).inc(batch.frame.height)
        telemetry.BATCH_CHANGES.labels(*self.labels).observe(batch.frame.height)
        if records:
            age = time.time() - records[-1].timestamp()[1] / 1000
            telemetry.FRESHNESS_SECONDS.labels(*self.labels).set(age)

    def _open(self, state: TopicState) -> Positions:
        found = self.table.open()
        for positions in (*([found] if found else ()), *self.table.history_positions()):
            check_topic(self.table.name, positions, state, self.owned)
        self.table.assign(self.owned)
        return found or Positions.start(self.topic, state.topic_id, len(state.end))

    def _decode(self, records: Sequence[Consumed], ends: Mapping[int, int]) -> Batch:
        batch = decode_batch(self.table.contract, self.topic, records, len(self.positions.next))
        passed = {p: end for p, end in ends.items() if end > max(batch.next.get(p, 0), self.positions.next[p])}
        return replace(batch, next={**batch.next, **passed})

    def _flush(self, batch: Batch, records: Sequence[Consumed]) -> Positions:
        """Stage, dead letters, commit; the target's positions after it."""
        with self.measured("stage"):
            staged = self.table.stage(batch)
            rejected = batch.without(staged.refused, records, stage=self.table.name).rejected
        self._write_dead_letters(rejected)
        with self.measured("commit"), telemetry.COMMIT_SECONDS.labels(*self.labels).time():
            return self.table.commit(staged, self.positions)

    def _write_dead_letters(self, rejected: Sequence[Rejected]) -> None:
        new = [one for one in rejected if self._origin(one) not in self._dead_lettered]
        self.dead_letters.write(new, time.monotonic())
        self._dead_lettered.update(map(self._origin, new))
        for stage, count in Counter(one.error.stage for one in new).items():
            telemetry.DEAD_LETTERS.labels(*self.labels, stage).inc(count)
        for line in log_lines(new):
            log.warning("dead letters", **line)

    def _origin(self, rejected: Rejected) -> Hashable:
        return self.positions.topic_id, rejected.error.partition, rejected.error.offset

    def _count_unknown(self, batch: Batch) -> None:
        for name, count in batch.unknown.items():
            if name not in self._known_unknowns and len(self._known_unknowns) >= MOST_NAMES:
                name = OTHER_NAMES
            telemetry.UNKNOWN_FIELDS.labels(*self.labels, name).inc(count)
            if name not in self._known_unknowns:
                self._known_unknowns.add(name)
                log.warning("unknown field", topic=self.topic, field=name, way_out="add it to the contract as optional")

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Count this thread's CPU time as one stage's."""
        started = time.thread_time()
        yield
        telemetry.STAGE_CPU.labels(*self.labels, stage).inc(time.thread_time() - started)


def log_lines(rejected: Sequence[Rejected]) -> list[dict[str, Any]]:
    """What the log says of a batch's dead letters: a line per stage and reason, one for all reasons beyond a few."""
    alike: dict[tuple[str, str], list[Rejected]] = {}
    for one in rejected:
        alike.setdefault((one.error.stage, one.error.reason), []).append(one)
    groups = sorted(alike.values(), key=len, reverse=True)
    lines: list[dict[str, Any]] = [
        {"stage": group[0].error.stage, "count": len(group), "first": str(group[0].error)}
        for group in groups[:MOST_REASONS]
    ]
    if others := groups[MOST_REASONS:]:
        lines.append({"other_reasons": len(others), "count": sum(map(len, others))})
    return lines
