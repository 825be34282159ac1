"""One table of one target: takes over partitions, writes batches, recovers from trouble.

A flush, in this order:

1. decode   records -> columns; what fails is set aside
2. stage    the target gets the rows, uncommitted, and names those it refuses
3. letters  everything set aside is written to the dead letters and acknowledged
4. commit   rows and positions count together, or this process is fenced

Trouble with a server in 2 to 4: wait, open the table again, look at the positions it holds. They stand at the end of
the batch: the commit had landed. They stand at its start: write it again. Anything else: fenced.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import structlog

from olist import telemetry
from olist.batches import Batch, Rejected, decode_batch
from olist.dead_letters import DeadLetters
from olist.positions import Positions, TopicState, check_topic
from olist.topics.reading import Consumed
from sinks.base import SinkTable
from sinks.patience import Patience

log = structlog.get_logger()

# Unknown fields told apart by name; a producer that makes up names must not fill the metrics and the log.
MOST_NAMES = 100
OTHER_NAMES = "(others)"


class TableWriter:
    """Carries one topic to one table. Used from one thread at a time."""

    def __init__(self, topic: str, table: SinkTable, letters: DeadLetters, patience: Patience) -> None:
        self.topic, self.table, self.letters, self.patience = topic, table, letters, patience
        self.owned: frozenset[int] = frozenset()
        self._held: Positions | None = None
        self.labels = (table.name, table.contract.table)
        self._known_unknowns: set[str] = set()

    @property
    def held(self) -> Positions:
        """The positions this process believes the target to hold."""
        if self._held is None:
            raise RuntimeError(f"{self.topic} is written before it was taken over")
        return self._held

    def take_over(self, owned: frozenset[int], state: TopicState) -> dict[int, int]:
        """Open the table for these partitions; return where to go on reading each.

        Raises:
            PositionRefused: the topic is not the one whose positions the target holds.
            ContractRefused: the table there does not fit the contract.
        """
        self.owned = owned
        self._held = self.patience.insist(self.topic, lambda: self._open(state))
        return self.held.of(owned)

    def has_news(self, records: Sequence[Consumed], ends: Mapping[int, int]) -> bool:
        """Whether a poll brought records, or passed transaction markers, beyond what the target holds."""
        return bool(records) or any(end > self.held.next[p] for p, end in ends.items())

    def write(self, records: Sequence[Consumed], ends: Mapping[int, int]) -> None:
        """Flush what a poll brought.

        Raises:
            Fenced, TooManyDeadLetters: stop; nothing of the batch counts.
            ServerTrouble: a server stayed away for longer than the patience.
        """
        with self.measured("decode"):
            batch = self._decode(records, ends)
        self._count_unknown(batch)
        flush = _Flush(self, batch, records)
        self._held = self.patience.insist(self.topic, flush.attempt, flush.reopen)
        telemetry.CHANGES_WRITTEN.labels(*self.labels).inc(batch.frame.height)
        telemetry.BATCH_CHANGES.labels(*self.labels).observe(batch.frame.height)
        if records:
            age = time.time() - records[-1].timestamp()[1] / 1000
            telemetry.FRESHNESS_SECONDS.labels(*self.labels).set(age)

    def _open(self, state: TopicState) -> Positions:
        found = self.table.open()
        for held in (*([found] if found else ()), *self.table.held_beside()):
            check_topic(self.table.name, held, state, self.owned)
        self.table.own(self.owned)
        return found or Positions.start(self.topic, state.topic_id, len(state.end))

    def _decode(self, records: Sequence[Consumed], ends: Mapping[int, int]) -> Batch:
        batch = decode_batch(self.table.contract, self.topic, records, len(self.held.next))
        passed = {p: end for p, end in ends.items() if end > max(batch.next.get(p, 0), self.held.next[p])}
        return replace(batch, next={**batch.next, **passed})

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


class _Flush:
    """One batch on its way: what must not happen twice is remembered here across attempts."""

    def __init__(self, writer: TableWriter, batch: Batch, records: Sequence[Consumed]) -> None:
        self.writer, self.batch, self.records = writer, batch, records
        self.lettered: set[tuple[int, int]] = set()
        self.found: Positions | None = None

    def attempt(self) -> Positions:
        """Stage, letters, commit; the positions held after it."""
        writer, held = self.writer, self.writer.held
        if self.found is not None:
            if self.found.of(self.batch.next) == self.batch.next:
                return self.found  # the commit whose answer was lost had landed
            self.found.expect(f"{writer.table.name} table {writer.table.contract.table}", held.of(self.batch.next))
        with writer.measured("stage"):
            accepted = self.batch.without(writer.table.stage(self.batch), self.records, stage=writer.table.name)
        self._write_letters(accepted)
        with writer.measured("commit"), telemetry.COMMIT_SECONDS.labels(*writer.labels).time():
            return writer.table.commit(accepted, held)

    def _write_letters(self, accepted: Batch) -> None:
        letters = [letter for letter in accepted.rejected if _place(letter) not in self.lettered]
        self.writer.letters.write(letters, time.monotonic())
        self.lettered.update(map(_place, letters))
        for letter in letters:
            telemetry.DEAD_LETTERS.labels(*self.writer.labels, letter.error.stage).inc()
            log.warning("dead letter", stage=letter.error.stage, reason=str(letter.error))

    def reopen(self) -> None:
        """After trouble: forget what was staged, and look again where the target stands.

        The table is opened once: what `own` loads must be of the very state whose positions are judged.
        """
        writer, held = self.writer, self.writer.held
        telemetry.RETRIES.labels(*writer.labels).inc()
        self.found = writer.table.open() or Positions.start(held.topic, held.topic_id, len(held.next))
        writer.table.own(writer.owned)


def _place(letter: Rejected) -> tuple[int, int]:
    return letter.error.partition, letter.error.offset
