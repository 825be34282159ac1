"""Topic -> Iceberg, exactly once: rows and source positions land in the same commit.

A contract with a history writes two lake tables, each with its own positions and committed one after the other, history
first. A kill between the two leaves them at different positions; the reading goes on at the lower one, and each table
skips what it already holds. So the current rows can be built again from the topic's beginning beside a history that
stays, and of the two either may be set back alone.

Guarantee: ``next`` is the offset after the last one applied; a table that stands at n holds every change below n once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from pyiceberg.catalog.sql import SqlCatalog

from olist.batches import OP, Batch
from olist.contracts import Contract
from olist.errors import PositionRefused
from olist.lake.catalog import open_catalog
from olist.lake.errors import lake_errors
from olist.lake.table import LakeTable, unseen
from olist.lake.table import Staged as StagedFiles
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import SinkTable, Staged

_ROW, _LAST = "_row", "_last_op"


@dataclass(frozen=True)
class LakeFiles:
    """The files that each lake table is to get, the history first, and which `open` their index is of."""

    opening: object
    of: Sequence[tuple[LakeTable, StagedFiles]]


class IcebergTable(SinkTable[LakeFiles]):
    """One contract's lake tables."""

    name = "iceberg"

    def __init__(self, contract: Contract, settings: Settings) -> None:
        super().__init__(contract)
        self.settings = settings
        self._catalog: SqlCatalog | None = None
        self._tables: list[LakeTable] = []
        self._opening = object()  # another one for each `open`
        self._before: Batch | None = None  # the last that was committed, while a history lags behind the current rows

    def open(self) -> Positions | None:
        """Positions of the table that lags, since reading goes on there."""
        self._opening, self._before = object(), None
        return _lowest([table.open() for table in self._connected()])

    def assign(self, partitions: frozenset[int]) -> None:
        """Rebuild the key index for these partitions' rows."""
        for table in self._tables:
            table.assign(partitions)

    def stage(self, batch: Batch) -> Staged[LakeFiles]:
        """Write the files. A lake column holds whatever the contract admits, so nothing is refused."""
        files = [(table, table.stage(self._changes(table, batch))) for table in self._tables]
        return Staged(batch, LakeFiles(self._opening, files))

    def commit(self, staged: Staged[LakeFiles], expected: Positions) -> Positions:
        """One commit per lake table, the history first."""
        if staged.prepared.opening is not self._opening:  # its deletes are of another index
            raise self.outdated()
        batch = staged.batch
        for table, files in staged.prepared.of:
            stands = table.positions or expected
            stands.expect_topic(f"lake table {table.name}", expected)
            to = {p: end for p, end in batch.next.items() if end > stands.next.get(p, 0)}
            if to:
                table.commit(files, stands, to)
        self._before = batch if self._lags(batch) else None
        return expected.advanced(batch.next)

    def backpressure_s(self) -> float:
        """What the table in the greater need of compaction asks for."""
        return max((table.backpressure_s for table in self._tables), default=0.0)

    def drop(self) -> None:
        """Remove the table of current rows and its files, whatever they look like."""
        self._drop(history=False)

    def histories(self) -> Sequence[str]:
        """The history, where it is there."""
        return [table.name for table in self._connected() if table.history and table.is_there()]

    def drop_histories(self) -> Sequence[str]:
        """Remove the history and its files."""
        dropped = self.histories()
        self._drop(history=True)
        return dropped

    def history_positions(self) -> Sequence[Positions]:
        """Where the history stands."""
        return [positions for table in self._tables if table.history and (positions := table.positions)]

    def close(self) -> None:
        """Let go of the catalog's connections."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog, self._tables = None, []

    def _drop(self, *, history: bool) -> None:
        for table in self._connected():
            if table.history == history:
                table.drop()
        self._tables = []

    def _connected(self) -> list[LakeTable]:
        if self._catalog is None:
            with lake_errors():
                self._catalog = open_catalog(self.settings)
        if not self._tables:
            kinds = [True, False] if self.contract.history else [False]
            self._tables = [LakeTable(self._catalog, self.contract, history=history) for history in kinds]
        return self._tables

    def _changes(self, table: LakeTable, batch: Batch) -> pl.DataFrame:
        changes = batch.every_change(self._were_live) if table.history else batch.last_per_key()
        return unseen(changes, table.positions)

    def _were_live(self, keys: pl.DataFrame) -> pl.Series:
        """Whether these tombstones' keys had a row before the batch: as the table of current rows says, yet unwritten.

        Where that stands beyond them (a history that was dropped is read again) it cannot tell. Then a key was live
        unless the batch before deleted it; nothing is known of a batch that another process took.
        """
        (current,) = [table for table in self._tables if not table.history]
        known = current.holds(keys)
        is_ahead = unseen(keys.with_row_index(_ROW), current.positions)
        beyond = ~keys.with_row_index(_ROW)[_ROW].is_in(is_ahead[_ROW].implode())
        if not beyond.any():
            return known
        return pl.select(pl.when(beyond).then(self._were_left_live(keys)).otherwise(known)).to_series()

    def _were_left_live(self, keys: pl.DataFrame) -> pl.Series:
        if self._before is None:
            return pl.repeat(value=False, n=keys.height, dtype=pl.Boolean, eager=True)
        key = list(self.contract.key)
        last = self._before.last_per_key().select(*key, pl.col(OP).alias(_LAST))
        found = keys.select(key).join(last, on=key, how="left", maintain_order="left")
        return found[_LAST].fill_null("u") != "d"

    def _lags(self, batch: Batch) -> bool:
        """Whether the history is behind the current rows for a partition of the batch."""
        stands = {table.history: table.positions for table in self._tables}
        current, history = stands.get(False), stands.get(True)
        if current is None or not any(table.history for table in self._tables):
            return False
        return any(current.next.get(p, 0) > (history.next.get(p, 0) if history else 0) for p in batch.next)


def _lowest(found: list[Positions | None]) -> Positions | None:
    """Per partition the lowest position; None when a table has none yet."""
    known = [positions for positions in found if positions is not None]
    if len(known) < len(found):
        return None
    first = known[0]
    if len({positions.topic_id for positions in known}) > 1:
        raise PositionRefused(
            f"the lake tables of {first.topic} hold positions of topics with different ids; a rebuild was cut short",
            hint="`olist sink rebuild iceberg --with-history` empties them and reads the topic from its beginning",
        )
    return Positions(first.topic, first.topic_id, {p: min(k.next[p] for k in known) for p in first.next})


def connect(contract: Contract, settings: Settings) -> IcebergTable:
    """The contract's lake tables, not yet opened."""
    return IcebergTable(contract, settings)
