"""The one runner of all sinks: polls topics, hands what came to the tables' writers, side by side.

Each table has a state of its own (`sinks.runtime.table_state`). One that waits or has stopped holds up no other: its
topic is paused, no thread waits for it, and when it is opened again its topic is read on from the positions found
there. So is one whose writing takes long. The process ends when it is asked to, or when no table is left that could go
on; then its exit code tells whether all was well.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import Any

import structlog

from olist import telemetry
from olist.errors import OlistError, PositionRefused, ServerTrouble, Stopped, TablesStopped
from olist.positions import TopicState, check_topic
from sinks.group import Note
from sinks.runtime.source import Polled, Source
from sinks.runtime.table_state import STATES, TableState
from sinks.runtime.writer import TableWriter

log = structlog.get_logger()

LEAST_SHARE = 0.1  # of the interval that a poll gathers for, when writing takes longer than the interval
LOG_EVERY_S = 10.0
SLOW_S = 5.0  # a table that writes for longer than this is no longer waited for; the others are read on

TopicStates = Callable[[Sequence[str]], Mapping[str, TopicState]]
Starts = dict[int, int]  # partition -> next offset


@dataclass
class _Table:
    """A table, its state, and what a thread is doing with it: a write, or an opening that ends in where to go on."""

    writer: TableWriter
    state: TableState
    work: Future[Any] | None = None
    was_slow: bool = False

    @property
    def takes_records(self) -> bool:
        return self.state.is_running and self.work is None


class Runner:
    """Carries the topics of some contracts to one target, as one member of the target's group."""

    def __init__(
        self,
        writers: Mapping[str, TableWriter],
        topic_states: TopicStates,
        stopping: Event,
        *,
        patience_s: float,
        threads: int,
    ) -> None:
        self.topic_states = topic_states
        self.stopping, self.patience_s = stopping, patience_s
        self.owned: Mapping[str, frozenset[int]] = {}
        self.throughput = Throughput(time.monotonic())
        self.tables = {topic: _Table(writer, TableState(patience_s)) for topic, writer in writers.items()}
        self._seeks: dict[str, Starts] = {}  # topics to read on elsewhere, and from where
        self._pauses: dict[str, float] = {}  # topics whose tables want back-pressure, in seconds
        self._noted: dict[str, str] = {}  # the state of each table that the group's notes say
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sink")

    def run(self, source: Source, *, most: int, interval_s: float) -> None:
        """Poll and flush until asked to stop, or until no table can go on. A batch that has begun is finished first.

        Raises:
            OlistError: a table's error, of those that did not run in the end.
        """
        due = time.monotonic()  # batches begin at this pace, however long the writing of the last one took
        try:
            while not self.stopping.is_set() and not self._all_stopped():
                polled = source.poll(most, max(due + interval_s - time.monotonic(), interval_s * LEAST_SHARE))
                due = time.monotonic()
                self.flush(polled)
                self._pause_and_seek(source)
                self._log_states()
                self._write_notes(source)
                if line := self.throughput.take(sum(map(len, polled.records.values())), time.monotonic()):
                    log.info("written", **line)
            self._collect()
            error = self._error()  # before the group is left, and with it what is owned
        finally:
            self._pool.shutdown(wait=True)
            source.close()
            for table in self.tables.values():
                table.writer.table.close()
        if error is not None:
            raise error

    def assigned(self, owned: Mapping[str, frozenset[int]]) -> Mapping[str, Mapping[int, int]]:
        """Take over partitions and say where to go on in each: the target knows, not Kafka.

        A table that cannot be opened is not in the answer; it is tried again later.
        """
        self._collect()
        self._log_states()  # a zombie's last commit may have been refused just now
        self.owned = owned
        self._seeks, self._pauses, self._noted = {}, {}, {}
        to_open = [topic for topic in owned if not self.tables[topic].state.is_final]
        for topic in to_open:
            self.tables[topic].state = TableState(self.patience_s)
        self._take_over(to_open)
        self._collect()
        starts, self._seeks = self._seeks, {}
        if owned:
            log.info("assigned", positions={topic: sum(start.values()) for topic, start in starts.items()})
        self._log_states()
        return starts

    def flush(self, polled: Polled) -> None:
        """Write what a poll brought, tables side by side, and open again those whose time has come."""
        for topic, error in polled.failed.items():
            if self.tables[topic].state.is_running:
                self._failed(topic, self._explained(topic, error))
        self._take_over([t for t in self.owned if self.tables[t].work is None and self._is_due(t)])
        for topic in self._unchanged([t for t in self.owned if self._has_work(t, polled)]):
            records, ends = polled.records.get(topic, []), polled.ends.get(topic, {})
            self.tables[topic].work = self._pool.submit(self.tables[topic].writer.write, records, ends)
        self._collect(SLOW_S)

    def _is_due(self, topic: str) -> bool:
        return self.tables[topic].state.is_due(time.monotonic())

    def _has_work(self, topic: str, polled: Polled) -> bool:
        """Whether there is something to write. What comes of a topic whose table takes nothing now is read again."""
        table = self.tables[topic]
        return table.takes_records and table.writer.has_news(polled.records.get(topic, []), polled.ends.get(topic, {}))

    def _take_over(self, topics: Iterable[str]) -> None:
        """Open tables in threads; where to go on is in `_seeks` when they are done."""
        states = self._topic_states_of(list(topics))
        for topic, state in states.items():
            work = self._pool.submit(self.tables[topic].writer.take_over, self.owned[topic], state)
            self.tables[topic].work = work

    def _unchanged(self, topics: Sequence[str]) -> list[str]:
        """Those topics that still are the ones whose positions the target holds.

        They are asked for after reading: records read while a topic still had our id are ours for certain.
        """
        return [topic for topic, state in self._topic_states_of(topics).items() if self._fits(topic, state)]

    def _fits(self, topic: str, state: TopicState) -> bool:
        writer = self.tables[topic].writer
        try:
            check_topic(writer.table.name, writer.positions, state, self.owned[topic])
        except PositionRefused as refused:
            self._failed(topic, refused)
            return False
        return True

    def _topic_states_of(self, topics: Sequence[str]) -> Mapping[str, TopicState]:
        """What the broker says of topics, less those it says nothing of: their tables have failed."""
        try:
            return self.topic_states(topics) if topics else {}
        except ServerTrouble as trouble:
            for topic in topics:
                self._failed(topic, trouble)
            return {}
        except Stopped as error:  # one of them is not there
            if len(topics) > 1:
                return {topic: state for one in topics for topic, state in self._topic_states_of([one]).items()}
            self._failed(topics[0], error)
            return {}

    def _explained(self, topic: str, error: OlistError) -> OlistError:
        """What is wrong with a topic's offsets, in the words of the one who knows the topic as it is now."""
        writer = self.tables[topic].writer
        try:
            check_topic(
                writer.table.name, writer.positions, self.topic_states([topic])[topic], self.owned.get(topic, ())
            )
        except (PositionRefused, ServerTrouble) as more:
            return more
        except Stopped as gone:
            return gone
        return error

    def _collect(self, within_s: float | None = None) -> None:
        """Wait until what the threads do has ended, or for so long, and take in how it ended."""
        working = {topic: table.work for topic, table in self.tables.items() if table.work is not None}
        wait(working.values(), within_s)
        for topic, work in working.items():
            if work.done():
                self._done(topic, work)
            else:
                self.tables[topic].was_slow = True

    def _done(self, topic: str, work: Future[Any]) -> None:
        table = self.tables[topic]
        was_slow, table.work, table.was_slow = table.was_slow, None, False
        if error := work.exception():
            self._failed(topic, error)
            return
        starts: Starts | None = work.result()
        if starts is not None:
            self._resumed(topic, starts)
            return
        table.state.committed()
        if was_slow:  # what came of it meanwhile was not taken
            self._seeks[topic] = table.writer.positions.of(self.owned[topic])
        if (backpressure_s := table.writer.table.backpressure_s()) > 0:
            self._pauses[topic] = backpressure_s

    def _resumed(self, topic: str, starts: Starts) -> None:
        table = self.tables[topic]
        if table.state.error is not None:
            telemetry.RETRIES.labels(*table.writer.labels).inc()
            log.info("reading again", topic=topic, after=type(table.state.error).__name__)
        table.state.resumed(time.monotonic())
        self._seeks[topic] = starts
        self._set_metric(topic)

    def _failed(self, topic: str, error: BaseException) -> None:
        self.tables[topic].state.failed(error, time.monotonic())
        self._set_metric(topic)
        if not isinstance(error, OlistError):
            log.error("unforeseen", topic=topic, exc_info=error)

    def _set_metric(self, topic: str) -> None:
        table = self.tables[topic]
        for name in STATES:
            telemetry.TABLE_STATE.labels(*table.writer.labels, name).set(name == table.state.name)

    def _pause_and_seek(self, source: Source) -> None:
        """Pause the topics of tables that take nothing now; read on where tables have come back."""
        now = time.monotonic()
        for topic in self.owned:
            if not self.tables[topic].takes_records:
                source.pause(topic, math.inf)
        while self._seeks:
            source.seek(*self._seeks.popitem())
        for topic, backpressure_s in self._pauses.items():
            source.pause(topic, now + backpressure_s)
        self._pauses = {}

    def _log_states(self) -> None:
        """Log what is wrong with tables that do not run: at once, and each minute; of one server's error once."""
        now, alike = time.monotonic(), dict[tuple[str, str], list[str]]()
        for topic in self.owned:
            state = self.tables[topic].state
            if state.is_due_for_log(now):
                alike.setdefault((state.name, _subject_of(topic, state.error)), []).append(topic)
        for (name, _), topics in alike.items():
            error = self.tables[topics[0]].state.error
            write = log.error if name == "stopped" else log.warning
            hint = getattr(error, "hint", "")
            write(name, topics=topics, reason=_text_of(error), **({"hint": hint} if hint else {}))

    def _write_notes(self, source: Source) -> None:
        """Note in the group which tables have changed their state, for `olist sink status`."""
        states = {topic: self.tables[topic].state for topic in self.owned}
        changed = {topic: one for topic, one in states.items() if one.name != self._noted.get(topic)}
        if not changed:
            return
        source.note(
            {t: Note(one.name, "" if one.is_running else _text_of(one.error)).encode() for t, one in changed.items()}
        )
        self._noted |= {topic: one.name for topic, one in changed.items()}

    def _all_stopped(self) -> bool:
        return bool(self.owned) and all(self.tables[topic].state.has_stopped for topic in self.owned)

    def _error(self) -> BaseException | None:
        """What kept tables from running in the end; None if all ran."""
        states = {topic: self.tables[topic].state for topic in self.owned}
        errors = {topic: one.error for topic, one in states.items() if not one.is_running and one.error is not None}
        if len(errors) < 2:
            return next(iter(errors.values()), None)
        hints = dict.fromkeys(hint for error in errors.values() if (hint := getattr(error, "hint", "")))
        each = "\n".join(f"  {topic}: {_text_of(error)}" for topic, error in errors.items())
        return TablesStopped(f"{len(errors)} tables did not run in the end:\n{each}", hint="\n".join(hints))


def _subject_of(topic: str, error: BaseException | None) -> str:
    """What an error is about: a server, that all its tables wait for, or one topic's table."""
    return error.server if isinstance(error, ServerTrouble) else topic


def _text_of(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"


@dataclass
class Throughput:
    """What a sink says of its progress: a line of the log now and then, whatever the rate."""

    since_s: float
    records: int = 0

    def take(self, records: int, now_s: float) -> dict[str, int] | None:
        """Count; return the line's fields when it is time for one and something was written."""
        self.records += records
        if now_s - self.since_s < LOG_EVERY_S or not self.records:
            return None
        line = {"records": self.records, "per_s": round(self.records / (now_s - self.since_s))}
        self.since_s, self.records = now_s, 0
        return line
