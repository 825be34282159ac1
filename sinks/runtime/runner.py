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
from typing import Any

import structlog

from olist import telemetry
from olist.errors import OlistError, PositionRefused, ServerTrouble, Stopped, TablesStopped
from olist.positions import TopicState, check_topic
from sinks.group import Note
from sinks.runtime.retry import Patience
from sinks.runtime.source import Polled, Source
from sinks.runtime.table_state import STATES, Condition
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
    condition: Condition
    work: Future[Any] | None = None
    was_slow: bool = False

    @property
    def takes_records(self) -> bool:
        return self.condition.is_running and self.work is None


class Runner:
    """Carries the topics of some contracts to one target, as one member of the target's group."""

    def __init__(
        self, writers: Mapping[str, TableWriter], states: TopicStates, patience: Patience, *, threads: int
    ) -> None:
        self.states = states
        self.patience = patience
        self.owned: Mapping[str, frozenset[int]] = {}
        self.throughput = Throughput(time.monotonic())
        self.tables = {topic: _Table(writer, Condition(patience.limit_s)) for topic, writer in writers.items()}
        self._again: dict[str, Starts] = {}  # topics to read on elsewhere, and from where
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
            while not self.patience.stopping.is_set() and not self._all_stopped():
                polled = source.poll(most, max(due + interval_s - time.monotonic(), interval_s * LEAST_SHARE))
                due = time.monotonic()
                self.flush(polled)
                self._steer(source)
                self._speak()
                self._note(source)
                if line := self.throughput.take(sum(map(len, polled.records.values())), time.monotonic()):
                    log.info("written", **line)
            self._finish()
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
        self._finish()
        self._speak()  # a zombie's last commit may have been refused just now
        self.owned = owned
        self._again, self._pauses, self._noted = {}, {}, {}
        to_open = [topic for topic in owned if not self.tables[topic].condition.is_final]
        for topic in to_open:
            self.tables[topic].condition = Condition(self.patience.limit_s)
        self._take_over(to_open)
        self._finish()
        starts, self._again = self._again, {}
        if owned:
            log.info("assigned", positions={topic: sum(start.values()) for topic, start in starts.items()})
        self._speak()
        return starts

    def flush(self, polled: Polled) -> None:
        """Write what a poll brought, tables side by side, and open again those whose time has come."""
        for topic, error in polled.failed.items():
            if self.tables[topic].condition.is_running:
                self._failed(topic, self._better(topic, error))
        self._take_over([t for t in self.owned if self.tables[t].work is None and self._is_due(t)])
        for topic in self._checked([t for t in self.owned if self._has_news(t, polled)]):
            records, ends = polled.records.get(topic, []), polled.ends.get(topic, {})
            self.tables[topic].work = self._pool.submit(self.tables[topic].writer.write, records, ends)
        self._settle(SLOW_S)

    def _is_due(self, topic: str) -> bool:
        return self.tables[topic].condition.is_due(time.monotonic())

    def _has_news(self, topic: str, polled: Polled) -> bool:
        """Whether there is something to write. What comes of a topic whose table takes nothing now is read again."""
        table = self.tables[topic]
        return table.takes_records and table.writer.has_news(polled.records.get(topic, []), polled.ends.get(topic, {}))

    def _take_over(self, topics: Iterable[str]) -> None:
        """Open tables in threads; where to go on is in `_again` when they are done."""
        states = self._states_of(list(topics))
        for topic, state in states.items():
            work = self._pool.submit(self.tables[topic].writer.take_over, self.owned[topic], state)
            self.tables[topic].work = work

    def _checked(self, topics: Sequence[str]) -> list[str]:
        """Those topics that still are the ones whose positions the target holds.

        They are asked for after reading: records read while a topic still had our id are ours for certain.
        """
        return [topic for topic, state in self._states_of(topics).items() if self._fits(topic, state)]

    def _fits(self, topic: str, state: TopicState) -> bool:
        writer = self.tables[topic].writer
        try:
            check_topic(writer.table.name, writer.positions, state, self.owned[topic])
        except PositionRefused as refused:
            self._failed(topic, refused)
            return False
        return True

    def _states_of(self, topics: Sequence[str]) -> Mapping[str, TopicState]:
        """What the broker says of topics, less those it says nothing of: their tables have failed."""
        try:
            return self.states(topics) if topics else {}
        except ServerTrouble as trouble:
            for topic in topics:
                self._failed(topic, trouble)
            return {}
        except Stopped as error:  # one of them is not there
            if len(topics) > 1:
                return {topic: state for one in topics for topic, state in self._states_of([one]).items()}
            self._failed(topics[0], error)
            return {}

    def _better(self, topic: str, error: OlistError) -> OlistError:
        """What is wrong with a topic's offsets, in the words of the one who knows the topic as it is now."""
        writer = self.tables[topic].writer
        try:
            check_topic(writer.table.name, writer.positions, self.states([topic])[topic], self.owned.get(topic, ()))
        except (PositionRefused, ServerTrouble) as more:
            return more
        except Stopped as gone:
            return gone
        return error

    def _settle(self, within_s: float | None = None) -> None:
        """Wait for what the threads do, so long at the most, and take in how it ended."""
        working = {topic: table.work for topic, table in self.tables.items() if table.work is not None}
        wait(working.values(), within_s)
        for topic, work in working.items():
            if work.done():
                self._done(topic, work)
            else:
                self.tables[topic].was_slow = True

    def _finish(self) -> None:
        self._settle()

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
        table.condition.wrote()
        if was_slow:  # what came of it meanwhile was not taken
            self._again[topic] = table.writer.positions.of(self.owned[topic])
        if (backpressure_s := table.writer.table.backpressure_s()) > 0:
            self._pauses[topic] = backpressure_s

    def _resumed(self, topic: str, starts: Starts) -> None:
        table = self.tables[topic]
        if table.condition.error is not None:
            telemetry.RETRIES.labels(*table.writer.labels).inc()
            log.info("reading again", topic=topic, after=type(table.condition.error).__name__)
        table.condition.resumed(time.monotonic())
        self._again[topic] = starts
        self._show(topic)

    def _failed(self, topic: str, error: BaseException) -> None:
        self.tables[topic].condition.failed(error, time.monotonic())
        self._show(topic)
        if not isinstance(error, OlistError):
            log.error("unforeseen", topic=topic, exc_info=error)

    def _show(self, topic: str) -> None:
        table = self.tables[topic]
        for state in STATES:
            telemetry.TABLE_STATE.labels(*table.writer.labels, state).set(state == table.condition.state)

    def _steer(self, source: Source) -> None:
        """Pause the topics of tables that take nothing now; read on where tables have come back."""
        now = time.monotonic()
        for topic in self.owned:
            if not self.tables[topic].takes_records:
                source.pause(topic, math.inf)
        while self._again:
            source.seek(*self._again.popitem())
        for topic, backpressure_s in self._pauses.items():
            source.pause(topic, now + backpressure_s)
        self._pauses = {}

    def _speak(self) -> None:
        """Say what is wrong with tables that do not run: at once, and now and again; of one server's trouble once."""
        now, alike = time.monotonic(), dict[tuple[str, str], list[str]]()
        for topic in self.owned:
            condition = self.tables[topic].condition
            if condition.speaks(now):
                alike.setdefault((condition.state, _whose(topic, condition.error)), []).append(topic)
        for (state, _), topics in alike.items():
            error = self.tables[topics[0]].condition.error
            say = log.error if state == "stopped" else log.warning
            hint = getattr(error, "hint", "")
            say(state, topics=topics, reason=_told(error), **({"hint": hint} if hint else {}))

    def _note(self, source: Source) -> None:
        """Leave word of tables whose state has changed, for `olist sink status`."""
        conditions = {topic: self.tables[topic].condition for topic in self.owned}
        changed = {topic: one for topic, one in conditions.items() if one.state != self._noted.get(topic)}
        if not changed:
            return
        source.note(
            {t: Note(one.state, "" if one.is_running else _told(one.error)).encode() for t, one in changed.items()}
        )
        self._noted |= {topic: one.state for topic, one in changed.items()}

    def _all_stopped(self) -> bool:
        return bool(self.owned) and all(self.tables[topic].condition.has_stopped for topic in self.owned)

    def _error(self) -> BaseException | None:
        """What kept tables from running in the end; None if all ran."""
        not_running = {topic: self.tables[topic].condition for topic in self.owned}
        errors = {t: c.error for t, c in not_running.items() if not c.is_running and c.error is not None}
        if len(errors) < 2:
            return next(iter(errors.values()), None)
        hints = dict.fromkeys(hint for error in errors.values() if (hint := getattr(error, "hint", "")))
        told = "\n".join(f"  {topic}: {_told(error)}" for topic, error in errors.items())
        return TablesStopped(f"{len(errors)} tables did not run in the end:\n{told}", hint="\n".join(hints))


def _whose(topic: str, error: BaseException | None) -> str:
    """What an error is about: a server, that all its tables wait for, or one topic's table."""
    return error.server if isinstance(error, ServerTrouble) else topic


def _told(error: BaseException | None) -> str:
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
