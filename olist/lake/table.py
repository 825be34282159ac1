"""One lake table and one writer: open, stage a micro-batch, commit it with its positions.

The lake protocol, in order:

1. `stage` finds by the key index the rows that the batch replaces, writes one data file and one position-delete file
   per lake partition touched. Nothing refers to them yet.
2. `commit` adds them and the new positions in one snapshot. It is compare-and-set on the table's head and on the
   positions this writer started from. Files so old that a sweep may have taken them for orphans are staged again.
3. Head moved: another writer (other partitions) or a compaction has committed. Reload; if our positions moved too, we
   are a zombie (`Fenced`); if files were rewritten, the index and the staged deletes follow their rows to where they
   are now, by the moves that the rewrite left (`olist.lake.row_moves`); commit again on the new head. Where those moves
   have expired the index must be rebuilt (`ServerTrouble`, the caller's retry).
4. Only then the index learns where the rows are.
5. A table with too many files or snapshots asks for a pause between commits (`olist.lake.backpressure`).

Outcome unknown (a connection lost in the commit): the caller opens again, and finds by the positions whether it landed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import numpy as np
import polars as pl
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from olist.batches import OFFSET, OP, PARTITION
from olist.contracts import Contract, Evolution, evolve
from olist.errors import BadInput, ServerTrouble, TargetRewound
from olist.lake.ancestry import CARRIER, MOVED, POSITIONS, is_foreign, snapshots_since, table_positions
from olist.lake.backpressure import table_pause_s
from olist.lake.catalog import identifier
from olist.lake.errors import lake_errors
from olist.lake.files import FileWriter, may_be_swept, wall_ms
from olist.lake.key_index import FREE, I64, U64, fingerprints
from olist.lake.row_delta import OneCommit, RowDelta
from olist.lake.row_locations import NO_ROWS, REINDEXING, OwnedRows, RowLocations
from olist.lake.row_moves import Moves, moves_since
from olist.lake.schema import PROPERTIES, change_schema, iceberg_schema, partition_spec, split
from olist.lake.writable import COLUMNS, columns_property, contract_columns, contract_properties, refuse_unwritable
from olist.positions import Positions

MAX_CONFLICTS = 20


@dataclass
class Staged:
    """Files written for one batch, and what the index will say of them once they are committed."""

    begun_ms: int  # before the first file
    data_files: list[DataFile] = field(default_factory=list)
    delete_files: list[DataFile] = field(default_factory=list)
    added_keys: list[tuple[U64, DataFile]] = field(default_factory=list)  # keys in row order of their file
    removed: U64 = field(default_factory=lambda: np.empty((0, 2), dtype=np.uint64))
    replaced: I64 = field(default_factory=lambda: NO_ROWS)  # locations that `delete_files` delete


class LakeTable:
    """A table of current rows (with key index), or a history (append-only, without)."""

    def __init__(
        self, catalog: SqlCatalog, contract: Contract, *, history: bool = False, now_ms: Callable[[], int] = wall_ms
    ) -> None:
        self.catalog, self.contract, self.history, self.now_ms = catalog, contract, history, now_ms
        self.name = f"{contract.table}_changes" if history else contract.table
        self._properties = contract_properties(contract, history=history)
        self.rows = RowLocations(self.name, contract.key)
        self._opened: Table | None = None
        self._indexed: int | None = None  # the snapshot whose rows the index knows

    @property
    def table(self) -> Table:
        """The table as of this writer's last load.

        Raises:
            RuntimeError: the writer was not opened.
        """
        if self._opened is None:
            raise RuntimeError(f"lake table {self.name} is used before open()")
        return self._opened

    @property
    def positions(self) -> Positions | None:
        """The positions of the table's rows, or None before its first commit.

        Raises:
            PositionRefused: another engine has set the table back, or has expired what says where it stands.
        """
        return table_positions(self.table, self.contract.table)

    @property
    def backpressure_s(self) -> float:
        """Seconds that the table's next commit should stay away, for its readers' sake."""
        return table_pause_s(self.table.metadata)

    def open(self) -> Positions | None:
        """Load the table, create it where it is missing, add the contract's new columns, and return its positions.

        Raises:
            ContractRefused: the table there and the contract cannot both be right.
            PositionRefused: another engine has set the table back, or has expired what says where it stands.
            ServerTrouble: catalog or storage is away.
        """
        for _attempt in range(MAX_CONFLICTS):
            with lake_errors(), suppress(CommitFailedException):  # another process evolved it in the same moment
                self._opened = self._load_or_create()
                self._evolve(self._opened)
                return self.positions
        raise ServerTrouble("lake catalog", f"{self.name}: {MAX_CONFLICTS} changes of its schema lost to others")

    def assign(self, partitions: frozenset[int]) -> None:
        """Rebuild the key index for the rows of some topic partitions, from the key columns alone.

        Raises:
            FileNotFoundError: a file that the table names is gone.
            ServerTrouble: storage is away, or the files were replaced and expired meanwhile: open again.
        """
        if self.history:
            return
        self._indexed = None
        try:
            with lake_errors():
                self.rows.load(self.table, OwnedRows(self.contract, partitions, self.positions))
        except FileNotFoundError as error:
            if self._is_newest():
                raise
            raise ServerTrouble("lake", f"{self.name}: changed while it was indexed; {REINDEXING}") from error
        self._indexed = self._head()

    def holds(self, keys: pl.DataFrame) -> pl.Series:
        """Whether the table has the key of each row now, as far as its index knows."""
        return pl.Series(self.rows.index.locate(fingerprints(keys, self.contract.key)) != FREE)

    def stage(self, changes: pl.DataFrame) -> Staged:
        """Write the files of a batch's changes: for current rows the last change per key, for a history all of them.

        Raises:
            ServerTrouble: storage is away, or the table was opened again and `assign` has not indexed that state.
        """
        with lake_errors():
            if self.history:
                return self._stage_history(changes)
            if self._indexed != self._head():  # an older index would miss rows to delete, and double their keys
                raise ServerTrouble("lake", f"{self.name}: opened again since its keys were indexed")
            return self._stage_current(changes)

    def commit(self, staged: Staged, expected: Positions, to: Mapping[int, int]) -> Positions:
        """Commit staged files and the positions `to`; return the table's positions after it.

        Raises:
            Fenced: the table is no longer at `expected` for the partitions of `to`; if it is before it, or was dropped,
                `TargetRewound`.
            PositionRefused: another engine has set the table back since this writer last looked.
            ServerTrouble: no answer, moves of a rewrite that have expired, too many conflicts in a row, or staged files
                that a sweep may have deleted.
        """
        for _attempt in range(MAX_CONFLICTS):
            if may_be_swept(staged.begun_ms, self.now_ms()):
                raise ServerTrouble(
                    "lake", f"{self.name}: staged so long ago that its files may be gone; staging again"
                )
            moved = self._expect(expected, to).advanced(to)
            try:
                with lake_errors():
                    self._commit_once(staged, moved, _ranges(expected, to))
            except CommitFailedException:
                self._reload(staged, expected, to)
            except FileNotFoundError:  # the head this writer knew is gone: dropped or expired, or the lake is damaged
                seen = self.table.metadata_location
                self._reload(staged, expected, to)
                if self.table.metadata_location == seen:
                    raise
            else:
                self.rows.learn(staged.removed, staged.added_keys)
                self._indexed = self._head()
                return moved
        raise ServerTrouble("lake catalog", f"{self.name}: {MAX_CONFLICTS} commits in a row lost to other writers")

    def is_there(self) -> bool:
        """Whether the catalog has the table."""
        with lake_errors():
            return self.catalog.table_exists(identifier(self.name))

    def drop(self) -> None:
        """Remove the table and its files.

        Raises:
            BadInput: its ``gc.enabled`` says that its files are not to be deleted.
        """
        with lake_errors():
            try:
                there = self.catalog.load_table(identifier(self.name))
                if there.properties.get("gc.enabled", "true").lower() == "false":
                    raise BadInput(
                        f"lake table {self.name}: gc.enabled is false: its files are not to be deleted",
                        hint="other tables may share them; set gc.enabled to true if none does",
                    )
                self.catalog.purge_table(identifier(self.name))
            except NoSuchTableError:
                return

    def _load_or_create(self) -> Table:
        name = identifier(self.name)
        try:
            return self.catalog.load_table(name)
        except NoSuchTableError:
            schema = iceberg_schema(self.contract, history=self.history)
            spec = partition_spec(self.contract, schema, history=self.history)
        try:
            return self.catalog.create_table(
                name, schema, partition_spec=spec, properties=PROPERTIES | self._properties
            )
        except TableAlreadyExistsError:  # another process was faster
            return self.catalog.load_table(name)

    def _evolve(self, table: Table) -> None:
        refuse_unwritable(table, self.contract, history=self.history)
        there = contract_columns(table, self.contract, history=self.history)
        change = evolve(f"lake table {self.name}", there, self.contract.columns)
        if change == Evolution():
            return
        with table.transaction() as transaction:
            with transaction.update_schema() as update:
                change_schema(update, there, change)
            transaction.set_properties(self._properties | {COLUMNS: columns_property(table, self.contract)})

    def _head(self) -> int | None:
        snapshot = self.table.current_snapshot()
        return snapshot.snapshot_id if snapshot else None

    def _is_newest(self) -> bool:
        with lake_errors():
            try:
                now = self.catalog.load_table(identifier(self.name))
            except NoSuchTableError:
                return False
        return now.metadata_location == self.table.metadata_location

    def _stage_history(self, changes: pl.DataFrame) -> Staged:
        staged, file_writer = Staged(self.now_ms()), FileWriter.of(self.table)
        for part, rows in split(changes, None):
            staged.data_files.append(file_writer.data_file(rows, part))
        return staged

    def _stage_current(self, changes: pl.DataFrame) -> Staged:
        staged, file_writer = Staged(self.now_ms()), FileWriter.of(self.table)
        keys = fingerprints(changes, self.contract.key)
        upserted = (changes[OP] != "d").to_numpy()
        staged.removed = keys[~upserted]
        staged.replaced = self.rows.to_delete(keys)
        staged.delete_files = self.rows.delete_files(self.table, staged.replaced)
        rows = changes.filter(upserted).with_columns(pl.Series("_print", np.flatnonzero(upserted)))
        if self.contract.sort_by:
            rows = rows.sort(self.contract.sort_by)
        for part, of_part in split(rows, self.contract.partition_by):
            data_file = file_writer.data_file(of_part, part)
            staged.data_files.append(data_file)
            staged.added_keys.append((keys[of_part["_print"].to_numpy()], data_file))
        return staged

    def _commit_once(self, staged: Staged, positions: Positions, moved: dict[int, tuple[int, int]]) -> None:
        transaction = OneCommit(self.table)
        summary = {MOVED: msgspec.json.encode(moved).decode(), POSITIONS: positions.encode()}
        delta = RowDelta(transaction, staged.data_files, staged.delete_files, summary)
        delta.commit()
        transaction.set_properties(
            {
                POSITIONS: positions.encode(),
                CARRIER: str(delta.snapshot_id),
                COLUMNS: columns_property(self.table, self.contract),
            }
        )
        self._opened = transaction.commit_transaction()

    def _expect(self, expected: Positions, to: Mapping[int, int]) -> Positions:
        """The table's positions, if they are those that this writer started from."""
        current = self.positions or Positions.start(expected.topic, expected.topic_id, len(expected.next))
        current.expect_topic(f"lake table {self.name}", expected)
        current.expect(f"lake table {self.name}", expected.of(to))
        return current

    def _reload(self, staged: Staged, expected: Positions, to: Mapping[int, int]) -> None:
        """After a lost compare-and-set: load the new head, and follow the rewrites that landed meanwhile."""
        with lake_errors():
            before = self.table
            try:
                self._opened = self.catalog.load_table(identifier(self.name))
            except NoSuchTableError as error:
                raise TargetRewound(f"lake table {self.name} was dropped since this process opened it") from error
            if self.table.metadata.table_uuid != before.metadata.table_uuid:
                raise TargetRewound(f"lake table {self.name} was dropped and made again since this process opened it")
            refuse_unwritable(self.table, self.contract, history=self.history)
            self._expect(expected, to)  # what another has moved, or set back, is not followed
            if not self.history:
                self._follow_foreign(before, staged)
            self._indexed = self._head()

    def _follow_foreign(self, before: Table, staged: Staged) -> None:
        head = before.current_snapshot()
        seen = head.snapshot_id if head else None
        if foreign := next(filter(is_foreign, snapshots_since(self.table.metadata, seen)), None):
            raise ServerTrouble(
                "lake", f"{self.name}: another engine has committed snapshot {foreign.snapshot_id}; {REINDEXING}"
            )
        if len(self.rows.index):
            self._follow_rewrites(seen, staged)

    def _follow_rewrites(self, seen: int | None, staged: Staged) -> None:
        paths = moves_since(self.table.metadata, seen)
        if paths is None:
            raise ServerTrouble("lake", f"{self.name}: rewritten meanwhile, its moves have expired; {REINDEXING}")
        replaced = staged.replaced
        for path in paths:
            try:
                moves = Moves.read(self.table.io, path)
            except FileNotFoundError as error:
                raise ServerTrouble("lake", f"{self.name}: {path} has expired; {REINDEXING}") from error
            staged.replaced = self.rows.follow(moves, self.table, staged.replaced)
        if not np.array_equal(staged.replaced, replaced):
            unused = staged.delete_files
            staged.delete_files = self.rows.delete_files(self.table, staged.replaced)
            for file in unused:
                self.table.io.delete(file.file_path)


def unseen(changes: pl.DataFrame, positions: Positions | None) -> pl.DataFrame:
    """The changes that a table standing at `positions` does not hold yet."""
    if positions is None or changes.is_empty():
        return changes
    current = pl.col(PARTITION).replace_strict(positions.next, default=0, return_dtype=pl.Int64)
    return changes.filter(pl.col(OFFSET) >= current)


def _ranges(expected: Positions, to: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    return {partition: (expected.next.get(partition, 0), end) for partition, end in sorted(to.items())}
