"""A target in memory. The laws run on it too, so a law that only real servers pass is a law about servers."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from olist.batches import OFFSET, OP, Batch
from olist.contracts import Column, Contract, ListOf, Type, evolve
from olist.errors import ContractRefused, Fenced, TargetRewound
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import Refusal, SinkTable, Staged

REFUSED = "refuse me"


@dataclass
class Stored:
    """What the target holds of one table."""

    key: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)
    positions: Positions | None = None


TABLES: dict[str, Stored] = {}
ALONE = Lock()  # a commit is one step


def connect(contract: Contract, settings: Settings) -> MemoryTable:
    """As every target's `table.connect`."""
    return MemoryTable(contract)


Rows = list[dict[str, Any]]


class MemoryTable(SinkTable[Rows]):
    """Transactional, as PostgreSQL and the lake are."""

    name = "memory"

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self._staged: Rows | None = None  # those that may be committed

    def open(self) -> Positions | None:
        self._staged = None
        stored = TABLES.setdefault(self.contract.table, Stored(self.contract.key, self.contract.columns))
        if stored.key != self.contract.key:
            raise ContractRefused(f"memory {self.contract.table}: the key is {stored.key}, not {self.contract.key}")
        evolution = evolve(f"memory {self.contract.table}", stored.columns, self.contract.columns)
        for row in stored.rows.values():
            row.update({column.name: None for column in evolution.added})
            for column in evolution.widened:
                _widen(row[column.name], column.type)
        stored.columns = self.contract.columns
        return stored.positions

    def assign(self, partitions: frozenset[int]) -> None:
        pass

    def stage(self, batch: Batch) -> Staged[Rows]:
        rows = list(batch.frame.iter_rows(named=True))
        refused = [Refusal(i, "it asked for it") for i, row in enumerate(rows) if row.get("label") == REFUSED]
        kept = set(range(len(rows))) - {refusal.row for refusal in refused}
        self._staged = [rows[i] for i in sorted(kept)]
        return Staged(batch, self._staged, refused)

    def commit(self, staged: Staged[Rows], expected: Positions) -> Positions:
        with ALONE:
            return self._commit(TABLES.get(self.contract.table), staged, expected)

    def _commit(self, stored: Stored | None, staged: Staged[Rows], expected: Positions) -> Positions:
        if stored is None:
            raise TargetRewound(f"memory {self.contract.table}: removed since this process opened it")
        if staged.prepared is not self._staged:
            raise self.outdated()
        self._compare(stored.positions or _none(expected), expected, staged.batch)
        for row in staged.prepared:
            self._apply(stored, row)
        self._staged = None
        stored.positions = (stored.positions or expected).advanced(staged.batch.next)
        return stored.positions

    def _compare(self, there: Positions, held: Positions, batch: Batch) -> None:
        if there.topic_id != held.topic_id:
            raise Fenced(f"memory {self.contract.table}: topic id {there.topic_id}, not {held.topic_id}")
        there.expect(f"memory {self.contract.table}", held.of(batch.next))

    def _apply(self, stored: Stored, row: dict[str, Any]) -> None:
        key = tuple(row[name] for name in self.contract.key)
        there = stored.rows.get(key)
        if there is not None and there[OFFSET] >= row[OFFSET]:
            return
        if row.pop(OP) == "d":
            stored.rows.pop(key, None)
        else:
            stored.rows[key] = row

    def drop(self) -> None:
        TABLES.pop(self.contract.table, None)

    def close(self) -> None:
        self._staged = None


def _widen(value: Any, kind: Type) -> None:
    """Rows in a list have the columns that were added to them."""
    if isinstance(kind, ListOf):
        for row in value or ():
            row.update({column.name: row.get(column.name) for column in kind.columns})


def _none(held: Positions) -> Positions:
    return Positions(held.topic, held.topic_id, dict.fromkeys(held.next, 0))
