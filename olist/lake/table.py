"""One lake table and one writer: open, stage a micro-batch, commit it with its positions.

The lake protocol, in order:

1. `stage` finds by the key index the rows that the batch replaces, writes one data file and one position-delete file
   per lake partition touched. Nothing refers to them yet.
2. `commit` adds them and the new positions in one snapshot. It is compare-and-set on the table's head and on the
   positions this writer started from.
3. Head moved: another writer (other partitions) or a compaction has committed. Reload; if our positions moved too, we
   are a zombie (`Fenced`); if files were rewritten, the staged deletes point at files that are gone, so the batch is
   staged again (`ServerTrouble`, the caller's retry); otherwise commit again on the new head.
4. Only then the index learns where the rows are.

Outcome unknown (a connection lost in the commit): the caller opens again, and the positions it finds tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.typedef import Record

from olist.batches import OFFSET, OP, PARTITION
from olist.contracts import Contract, Evolution, evolve
from olist.errors import ServerTrouble
from olist.lake.catalog import identifier
from olist.lake.files import Writing
from olist.lake.key_index import FREE, I64, U64, KeyIndex, fingerprints, pack, unpack
from olist.lake.live_rows import ROW, live_rows
from olist.lake.partitions import split
from olist.lake.row_delta import RowDelta
from olist.lake.schema import PROPERTIES, contract_columns, iceberg_schema, iceberg_type, partition_spec
from olist.lake.trouble import lake_trouble
from olist.positions import Positions

POSITIONS = "olist.positions"  # table property: where the table stands
MOVED = "olist.positions.moved"  # snapshot summary: partition -> [from, to) of this commit, for audit
MAX_CONFLICTS = 20


@dataclass
class Staged:
    """Files written for one batch, and what the index will say of them once they are committed."""

    data_files: list[DataFile] = field(default_factory=list)
    delete_files: list[DataFile] = field(default_factory=list)
    placed: list[tuple[U64, DataFile]] = field(default_factory=list)  # keys in row order of their file
    removed: U64 = field(default_factory=lambda: np.empty((0, 2), dtype=np.uint64))


class LakeTable:
    """A table of current rows (with key index), or a history (append-only, without)."""

    def __init__(self, catalog: SqlCatalog, contract: Contract, *, history: bool = False) -> None:
        self.catalog, self.contract, self.history = catalog, contract, history
        self.name = f"{contract.table}_changes" if history else contract.table
        self.index = KeyIndex()
        self._partition_of: list[Record] = []  # by file number
        self._opened: Table | None = None

    @property
    def table(self) -> Table:
        """The table as of this writer's last look."""
        if self._opened is None:
            raise RuntimeError(f"lake table {self.name} is used before open()")
        return self._opened

    @property
    def positions(self) -> Positions | None:
        """The positions the table holds, or None before its first commit."""
        text = self.table.properties.get(POSITIONS)
        return Positions.decode(text) if text else None

    def open(self) -> Positions | None:
        """Load the table, create it where it is missing, add the contract's new columns, and return its positions.

        Raises:
            ContractRefused: the table there and the contract cannot both be right.
            ServerTrouble: catalog or storage is away.
        """
        with lake_trouble():
            self._opened = self._load_or_create()
            self._evolve(self._opened)
        return self.positions

    def own(self, partitions: frozenset[int]) -> None:
        """Rebuild the key index for the rows of some topic partitions, from the key columns alone."""
        if self.history:
            return
        self.index, self._partition_of = KeyIndex(), []
        mine = pl.col(PARTITION).is_in(sorted(partitions))
        with lake_trouble():
            for data_file, rows in live_rows(self.table, [*self.contract.key, PARTITION]):
                rows = rows.filter(mine)
                if not rows.is_empty():
                    numbers = rows[ROW].to_numpy().astype(np.int64)
                    self._place(fingerprints(rows, self.contract.key), data_file, numbers)

    def stage(self, changes: pl.DataFrame) -> Staged:
        """Write the files of a batch's changes: for current rows the last change per key, for a history all of them."""
        with lake_trouble():
            return self._stage_history(changes) if self.history else self._stage_current(changes)

    def commit(self, staged: Staged, held: Positions, to: Mapping[int, int]) -> Positions:
        """Commit staged files and the positions `to`; return the table's positions after it.

        Raises:
            Fenced: the table no longer stands at `held` for the partitions of `to`.
            ServerTrouble: no answer, files rewritten meanwhile, or too many conflicts in a row.
        """
        for _attempt in range(MAX_CONFLICTS):
            current = self.positions or held
            current.expect(f"lake table {self.name}", held.of(to))
            moved = current.advanced(to)
            try:
                with lake_trouble():
                    self._commit_once(staged, moved, _ranges(held, to))
            except CommitFailedException:
                self._look_again()
            else:
                self._learn(staged)
                return moved
        raise ServerTrouble("lake catalog", f"{self.name}: {MAX_CONFLICTS} commits in a row lost to other writers")

    def drop(self) -> None:
        """Remove the table and its files."""
        with lake_trouble():
            try:
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
            return self.catalog.create_table(name, schema, partition_spec=spec, properties=PROPERTIES)
        except TableAlreadyExistsError:  # another process was faster
            return self.catalog.load_table(name)

    def _evolve(self, table: Table) -> None:
        there = contract_columns(table.schema())
        if self.history:  # nothing but the key is required there, whatever the contract says
            want = {column.name: column.nullable for column in self.contract.columns}
            there = tuple(replace(column, nullable=want.get(column.name, True)) for column in there)
        change = evolve(f"lake table {self.name}", there, self.contract.columns)
        if change == Evolution():
            return
        with table.update_schema() as update:
            for column in change.loosened:
                update.make_column_optional(column.name)
            for column in change.added:
                update.add_column(column.name, iceberg_type(column.type))
            for column in change.widened:
                update.update_column(column.name, iceberg_type(column.type))

    def _stage_history(self, changes: pl.DataFrame) -> Staged:
        staged, writing = Staged(), Writing.of(self.table)
        for part, rows in split(changes, None):
            staged.data_files.append(writing.data_file(rows, part))
        return staged

    def _stage_current(self, changes: pl.DataFrame) -> Staged:
        staged, writing = Staged(), Writing.of(self.table)
        keys = fingerprints(changes, self.contract.key)
        upserted = (changes[OP] != "d").to_numpy()
        staged.removed = keys[~upserted]
        staged.delete_files = self._delete_files(writing, self.index.locate(keys))
        rows = changes.filter(upserted).with_columns(pl.Series("_print", np.flatnonzero(upserted)))
        if self.contract.sort_by:
            rows = rows.sort(self.contract.sort_by)
        for part, of_part in split(rows, self.contract.partition_by):
            data_file = writing.data_file(of_part, part)
            staged.data_files.append(data_file)
            staged.placed.append((keys[of_part["_print"].to_numpy()], data_file))
        return staged

    def _delete_files(self, writing: Writing, found: I64) -> list[DataFile]:
        """Position deletes of the rows that the index found, one file per lake partition of the files they are in."""
        numbers, rows = unpack(found[found != FREE])
        by_partition: dict[Record, list[int]] = {}
        for number in np.unique(numbers).tolist():
            by_partition.setdefault(self._partition_of[number], []).append(number)
        paths = pa.array(self.index.files, type=pa.string())
        made = []
        for part, members in by_partition.items():
            here = np.isin(numbers, members)
            made.append(writing.delete_file(paths.take(numbers[here]), pa.array(rows[here]), part))
        return made

    def _commit_once(self, staged: Staged, positions: Positions, moved: dict[int, tuple[int, int]]) -> None:
        transaction = self.table.transaction()
        summary = {MOVED: msgspec.json.encode(moved).decode()}
        RowDelta(transaction, staged.data_files, staged.delete_files, summary).commit()
        transaction.set_properties({POSITIONS: positions.encode()})
        self._opened = transaction.commit_transaction()

    def _look_again(self) -> None:
        """After a lost compare-and-set: load the new head, and give up this batch if it rewrote data files."""
        with lake_trouble():
            seen = {snapshot.snapshot_id for snapshot in self.table.snapshots()}
            self._opened = self.catalog.load_table(identifier(self.name))
        for snapshot in self.table.snapshots():
            summary = snapshot.summary
            if snapshot.snapshot_id not in seen and summary and int(summary.get("deleted-data-files") or 0):
                raise ServerTrouble(
                    "lake", f"{self.name}: data files were rewritten meanwhile; staging the batch again"
                )

    def _learn(self, staged: Staged) -> None:
        self.index.remove(staged.removed)
        for keys, data_file in staged.placed:
            self._place(keys, data_file, np.arange(len(keys), dtype=np.int64))

    def _place(self, keys: U64, data_file: DataFile, rows: I64) -> None:
        number = self.index.file_number(data_file.file_path)
        if number == len(self._partition_of):
            self._partition_of.append(data_file.partition)
        self.index.put(keys, pack(number, rows))


def unseen(changes: pl.DataFrame, positions: Positions | None) -> pl.DataFrame:
    """The changes that a table standing at `positions` does not hold yet."""
    if positions is None or changes.is_empty():
        return changes
    stands = pl.col(PARTITION).replace_strict(positions.next, default=0, return_dtype=pl.Int64)
    return changes.filter(pl.col(OFFSET) >= stands)


def _ranges(held: Positions, to: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    return {partition: (held.next.get(partition, 0), end) for partition, end in sorted(to.items())}
