"""One partition's states: what a change does to its key's state and rows, and what the passing of time does.

Pure but for the states: wall time and the clock are given, and what is to be written is returned. The rows on the
output topics are those of `app.rows` for every key's state and `Entry.clock_us`; an update says the difference.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from heapq import heappop, heappush
from typing import Any, NamedTuple

import msgspec

from olist.changes import Change, codec
from olist.contracts import Contract, Row
from olist.errors import BadInput
from stream_apps.app import FaustApp, Input, Key
from stream_apps.faust.changelog import Entry

# A change can come again for as long as its position may be uncommitted: seconds, or a restart of a worker.
REPEATS_S = 600.0
MICROSECOND = timedelta(microseconds=1)


class RowChange(NamedTuple):
    """A row to write, or (None) to delete."""

    contract: Contract
    key: tuple[Any, ...]
    row: Row | None


class StateUpdate(NamedTuple):
    """What is to be written: the key's entry if `save` is set (None: forget it), then rows, as of an event time."""

    key: Key
    save: bool
    entry: Entry[Any] | None
    rows: list[RowChange]
    at_us: int


Rows = dict[tuple[str, tuple[Any, ...]], RowChange]
"""By table and key."""


@dataclass
class Timers:
    """Keys by the event time at which their rows are due; a key has one time, the last one set."""

    _heap: list[tuple[int, Key]] = field(default_factory=list)
    _due: dict[Key, int] = field(default_factory=dict)

    def set(self, key: Key, due_us: int | None) -> None:
        """Make a key due at a time, or not at all."""
        if due_us == self._due.get(key):
            return
        if due_us is None:
            del self._due[key]
            return
        self._due[key] = due_us
        heappush(self._heap, (due_us, key))

    def pop_due(self, clock_us: int) -> Iterator[Key]:
        """Every key whose time has come, in the order of the times; it has no time until it is set again."""
        while self._heap and self._heap[0][0] <= clock_us:
            due_us, key = heappop(self._heap)
            if self._due.get(key) == due_us:  # else it was set to another time since
                del self._due[key]
                yield key


@dataclass
class PartitionStates:
    """The states of one partition."""

    app: FaustApp[Any]
    clock_us: int = 0
    entries: dict[Key, Entry[Any]] = field(default_factory=dict)
    rows_by_kind: Counter[str] = field(default_factory=Counter)  # those that stand: what the app's `count_by` says
    current_key: Key | None = None  # an error in the app's code is of this one
    _timers: Timers = field(default_factory=Timers)
    _idle: deque[tuple[float, Key, int]] = field(default_factory=deque)  # wall time, key, version: forgettable then

    def __post_init__(self) -> None:
        self._timed, self._unknown = self.app.timed, self.app.state()

    def apply(self, key: Key, source: str, given: Input, change: Change, at_s: float) -> StateUpdate:
        """Fold a change of a source partition into its key's state; a repeat writes the rows once more."""
        self.current_key = key
        before: Rows = {}
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(self.app.state())
        elif change.position.offset < entry.next.get(source, 0):
            return self._repeat(key, entry)
        else:
            before = self._rows(key, entry)
        entry.state = self.app.fold(entry.state, given, change)
        entry.next[source] = change.position.offset + 1
        entry.changed_us = max(entry.changed_us, change.committed_us)
        return self._update(key, entry, before, at_s, save=True)

    def advance(self, clock_us: int, at_s: float) -> Iterator[StateUpdate]:
        """Set the clock and derive anew the rows of every key whose time has come; forget what may be forgotten."""
        self.clock_us = max(self.clock_us, clock_us)
        for key in self._timers.pop_due(self.clock_us):
            self.current_key = key
            entry = self.entries[key]
            yield self._update(key, entry, self._rows(key, entry), at_s, save=False)
        while self._idle and self._idle[0][0] <= at_s:
            _, key, version = self._idle.popleft()
            left = self.entries.get(key)
            if left is None or left.version() != version:
                continue
            if self._is_forgettable(key, left, self._forgotten_us(left)):
                self._timers.set(key, None)
                del self.entries[key]
                yield StateUpdate(key, True, None, [], left.changed_us)

    def restored(self, at_s: float) -> Iterator[StateUpdate]:
        """Set timers for entries that were read back, and derive anew the rows of those whose time had come."""
        for key, entry in self.entries.items():
            self._schedule(key, entry, at_s)
            if self.app.count_by:
                self.rows_by_kind.update(self._kinds(self._rows(key, entry)))
        yield from self.advance(self.clock_us, at_s)

    def all_rows(self) -> Iterator[StateUpdate]:
        """Every key's rows, for topics that hold those of another version of the app."""
        for key, entry in self.entries.items():
            self.current_key = key
            yield self._repeat(key, entry)

    def _update(self, key: Key, entry: Entry[Any], before: Rows, at_s: float, *, save: bool) -> StateUpdate:
        entry.clock_us = self.clock_us
        after = self._rows(key, entry)
        rows = [written for at, written in after.items() if at not in before or before[at].row != written.row]
        if self.app.count_by and before.keys() != after.keys():
            self.rows_by_kind.update(self._kinds(after.keys() - before.keys()))
            self.rows_by_kind.subtract(self._kinds(before.keys() - after.keys()))
        if entry.gone or (before and before.keys() - after.keys()):
            rows += [RowChange(old.contract, old.key, None) for at, old in before.items() if at not in after]
            entry.gone = _gone(entry.gone, before, after, at_s)
        self._schedule(key, entry, at_s, no_rows=not after)
        return StateUpdate(key, save, entry, rows, max(entry.changed_us, self.clock_us if not save else 0))

    def _repeat(self, key: Key, entry: Entry[Any]) -> StateUpdate:
        """The rows as they should be on the topics, whatever is there."""
        rows = self._rows(key, entry)
        deleted = (_deletion(self.app, name) for name in entry.gone)
        changes = [*rows.values(), *(gone for gone in deleted if (gone.contract.table, gone.key) not in rows)]
        return StateUpdate(key, False, entry, changes, entry.changed_us)

    def _rows(self, key: Key, entry: Entry[Any]) -> Rows:
        rows: Rows = {}
        for contract, row in self.app.rows(key, entry.state, entry.clock_us):
            values = codec(contract).key_of(row)
            rows[contract.table, values] = RowChange(contract, values, row)
        return rows

    def _kinds(self, rows: Iterable[tuple[str, tuple[Any, ...]]]) -> Iterator[str]:
        """What the rows, by table and key, are counted as."""
        columns = {contract.table: contract.key for contract in self.app.writes}
        for table, key in rows:
            named = dict(zip(columns[table], key, strict=True))
            yield "/".join(str(named[name]) for name in self.app.count_by if name in named)

    def _schedule(self, key: Key, entry: Entry[Any], at_s: float, *, no_rows: bool | None = None) -> None:
        """Set the key's timer; queue it for forgetting if it may be."""
        forgotten_us = self._forgotten_us(entry)
        if self._timed:
            times = (self.app.due(entry.state, entry.clock_us), forgotten_us)
            left = [time for time in times if time is not None and time > entry.clock_us]
            self._timers.set(key, min(left) if left else None)
        if self._is_forgettable(key, entry, forgotten_us, no_rows=no_rows):
            self._idle.append((at_s + REPEATS_S, key, entry.version()))

    def _forgotten_us(self, entry: Entry[Any]) -> int | None:
        """When the app says that it may be forgotten, if it does."""
        after = self.app.forget_after(entry.state)
        return None if after is None else entry.changed_us + after // MICROSECOND

    def _is_forgettable(
        self, key: Key, entry: Entry[Any], forgotten_us: int | None, *, no_rows: bool | None = None
    ) -> bool:
        """True if nothing is known of the key any more, or the app says that it may be forgotten."""
        if forgotten_us is not None and forgotten_us <= self.clock_us:
            return True
        if no_rows is False or entry.state != self._unknown:
            return False
        return no_rows or not self._rows(key, entry)


def _gone(gone: dict[str, float], before: Rows, after: Rows, at_s: float) -> dict[str, float]:
    """Rows deleted of late: those known that are recent, less those that are back, and the ones deleted now."""
    names = {_name(at) for at in after}
    kept = {name: since_s for name, since_s in gone.items() if since_s > at_s - REPEATS_S and name not in names}
    return kept | {_name(at): at_s for at in before if at not in after}


def _name(at: tuple[str, tuple[Any, ...]]) -> str:
    return msgspec.json.encode(at).decode()


def _deletion(app: FaustApp[Any], name: str) -> RowChange:
    table, values = msgspec.json.decode(name)
    for contract in app.writes:
        if contract.table == table:
            return RowChange(contract, tuple(values), None)
    raise BadInput(f"{app.name} no longer writes {table}, whose rows it has deleted of late")
