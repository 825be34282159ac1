"""Where each key's live row is: the key index, the lake partition of every file it names, and rows that are too many.

A key is there twice where somebody else wrote it. The row to keep is then the index's, and the others wait for the next
commit, which deletes them.

Rows that sinks write say which topic partition they came from. Those of others may not: an INSERT has to make one up.
So a row that claims another partition belongs to those whose key does, by the partitioner that every record is judged
by (`OwnedRows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import structlog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.typedef import Record

from olist import telemetry
from olist.batches import OFFSET, PARTITION
from olist.changes import codec
from olist.contracts import Contract
from olist.errors import ServerTrouble
from olist.lake.files import FileWriter
from olist.lake.key_index import FREE, I64, U64, KeyIndex, Rewrite, fingerprints, pack, unpack
from olist.lake.live_rows import ROW, live_rows
from olist.lake.row_moves import DROPPED, Moves
from olist.partitioner import partitions_of_lines
from olist.positions import Positions

NO_ROWS: I64 = np.empty(0, dtype=np.int64)
REINDEXING = "reindexing the table"
"""What a writer says that could not follow what others did to its table."""
MOST_NAMED = 5  # doubled keys in a line of the log
NUMBER, IS_TRUE, PATH = "_number", "_is_true", "_path"  # columns of `rows_of_keys`

log = structlog.get_logger()


class RowLocations:
    """The locations of one writer's rows. `surplus`: rows of keys that another row holds too."""

    def __init__(self, name: str, key: tuple[str, ...]) -> None:
        self.name, self.key = name, key
        self.index = KeyIndex()
        self.surplus: I64 = NO_ROWS
        self._partition_of_file: list[
            tuple[int, Record]
        ] = []  # by file number: the id of its partition spec, and its partition

    def load(self, table: Table, owned: OwnedRows) -> None:
        """Index the rows that a table has now, and forget all others."""
        self.index, self.surplus, self._partition_of_file = KeyIndex(), NO_ROWS, []
        doubled = []
        for data_file, rows in owned.files(table):
            keys = fingerprints(rows, self.key)
            once = self._first_seen(keys)
            doubled.append(keys[~once])
            self._put(keys[once], data_file, rows[ROW].to_numpy().astype(np.int64)[once])
        if sum(map(len, doubled)):
            self._settle(rows_of_keys(table, owned, np.concatenate(doubled)))

    def to_delete(self, keys: U64) -> I64:
        """The rows that changes of these keys replace, and those that are too many."""
        found = self.index.locate(keys)
        return np.concatenate([found[found != FREE], self.surplus])

    def learn(self, removed: U64, added_keys: Iterable[tuple[U64, DataFile]]) -> None:
        """A commit has landed: keys that are gone, and files with the keys of their rows in order."""
        self.surplus = NO_ROWS
        self.index.remove(removed)
        for keys, data_file in added_keys:
            self._put(keys, data_file, np.arange(len(keys), dtype=np.int64))

    def follow(self, moves: Moves, table: Table, replaced: I64) -> I64:
        """Point everything at the files of one rewrite, the rows `replaced` too, which are returned.

        Raises:
            ServerTrouble: the rewrite dropped a row that is live here, so the table must be reindexed.
        """
        known = self.index.numbers(moves.to)
        if not known:
            return replaced
        spec_id = table.spec().spec_id
        new = [self._number(f.path, spec_id if f.spec_id is None else f.spec_id, f.record) for f in moves.new]
        numbers = np.array(new, dtype=np.int64)
        rewrite = Rewrite({number: _renumbered(moves.to[path], numbers) for path, number in known.items()})
        replaced, surplus = rewrite.translate(replaced), rewrite.translate(self.surplus)
        if FREE in replaced or FREE in surplus or not self.index.follow(rewrite):
            raise ServerTrouble("lake", f"{self.name}: a rewrite dropped a row that is live here; {REINDEXING}")
        self.surplus = surplus
        return replaced

    def delete_files(self, table: Table, replaced: I64) -> list[DataFile]:
        """Write position deletes of rows, one file per lake partition of the files they are in."""
        file_writer = FileWriter.of(table)
        numbers, rows = unpack(replaced)
        used, file_of_row = np.unique(numbers, return_inverse=True)
        by_partition: dict[tuple[int, Record], list[int]] = {}
        for nth, number in enumerate(used.tolist()):
            by_partition.setdefault(self._partition_of_file[number], []).append(nth)
        paths = pa.array([self.index.files[number] for number in used.tolist()], type=pa.string())
        made = []
        for (spec_id, part), members in by_partition.items():
            here, of_spec = np.isin(file_of_row, members), replace(file_writer, spec=table.specs()[spec_id])
            made.append(of_spec.delete_file(paths.take(file_of_row[here].astype(np.int64)), pa.array(rows[here]), part))
        return made

    def _first_seen(self, keys: U64) -> npt.NDArray[np.bool_]:
        """Per key: whether neither the index nor a key before it is the same."""
        once: npt.NDArray[np.bool_] = self.index.locate(keys) == FREE
        if len(np.unique(keys[:, 0])) < len(keys):
            firsts = np.unique(keys, axis=0, return_index=True)[1]
            once &= np.isin(np.arange(len(keys)), firsts)
        return once

    def _settle(self, rows: pl.DataFrame) -> None:
        """Of keys that are there twice: the index learns the row to keep, and the others are too many."""
        numbers = np.array([self.index.file_number(path) for path in rows[PATH]], dtype=np.int64)
        locations = pack(numbers, rows[ROW].to_numpy().astype(np.int64))
        is_kept = rows[NUMBER].is_first_distinct().to_numpy()
        kept = rows[np.flatnonzero(is_kept)]
        self.index.put(fingerprints(kept, self.key), locations[is_kept])
        self.surplus = locations[~is_kept]
        telemetry.DOUBLED_KEYS.labels(self.name).inc(kept.height)
        log.warning(
            "keys found twice",
            table=self.name,
            keys=kept.height,
            first=kept.head(MOST_NAMED).select(self.key).rows(),
            files=rows[PATH].unique(maintain_order=True).head(2 * MOST_NAMED).to_list(),
            way_out="none is needed: the next commit deletes all but the newest row of each",
        )

    def _put(self, keys: U64, data_file: DataFile, rows: I64) -> None:
        self.index.put(keys, pack(self._number(data_file.file_path, data_file.spec_id, data_file.partition), rows))

    def _number(self, path: str, spec_id: int, partition: Record) -> int:
        """The index's number of a data file, its lake partition remembered."""
        number = self.index.file_number(path)
        self._partition_of_file += [(spec_id, partition)] * (number + 1 - len(self._partition_of_file))
        self._partition_of_file[number] = spec_id, partition
        return number


def _renumbered(to: I64, numbers: I64) -> I64:
    """Moves with the rewrite's file numbers replaced by the index's."""
    if not len(numbers):  # the rewrite left no row, so it made no file
        return np.full(len(to), FREE, dtype=np.int64)
    of_rewrite, rows = unpack(to)
    return np.where(to == DROPPED, FREE, pack(numbers[of_rewrite], rows))


@dataclass(frozen=True)
class OwnedRows:
    """The rows of a table that one writer may replace: those whose keys belong to its partitions.

    Without positions nothing was written yet, so that every row is somebody else's: all are looked after.
    """

    contract: Contract
    partitions: frozenset[int]
    positions: Positions | None

    def files(self, table: Table, more: Sequence[str] = ()) -> Iterator[tuple[DataFile, pl.DataFrame]]:
        """Per data file this writer's live rows: key, partition, the columns `more` and `ROW`."""
        for data_file, rows in live_rows(table, [*self.contract.key, PARTITION, *more]):
            mine = self._mine(rows)
            if not mine.is_empty():
                yield data_file, mine

    def is_true(self, rows: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Per row: whether its partition and offset can be those of a change that the table was committed with."""
        if self.positions is None or rows.is_empty():
            return np.zeros(rows.height, dtype=bool)
        ends = pl.col(PARTITION).replace_strict(self.positions.next, default=0, return_dtype=pl.Int64)
        possible = rows.select((pl.col(OFFSET) >= 0) & (pl.col(OFFSET) < ends)).to_series().fill_null(value=False)
        same: npt.NDArray[np.bool_] = (
            self._partitions_of(rows, self.positions) == rows[PARTITION].fill_null(-1).to_numpy()
        )
        return possible.to_numpy() & same

    def _mine(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self.positions is None or self.partitions.issuperset(self.positions.next):
            return rows
        mine = rows[PARTITION].is_in(sorted(self.partitions)).fill_null(value=False).to_numpy().copy()
        theirs = np.flatnonzero(~mine)
        own = self._partitions_of(rows[theirs], self.positions) if len(theirs) else np.empty(0, dtype=np.int32)
        mine[theirs[np.isin(own, sorted(self.partitions))]] = True
        return rows.filter(pl.Series(mine))

    def _partitions_of(self, rows: pl.DataFrame, positions: Positions) -> npt.NDArray[np.int32]:
        lines = codec(self.contract).key_lines(rows.select(self.contract.key).to_dicts())
        return partitions_of_lines(lines, len(positions.next))


def rows_of_keys(table: Table, owned: OwnedRows, keys: U64) -> pl.DataFrame:
    """All live rows of some keys: key, partition, offset, `ROW`, `PATH`, `NUMBER` (of the key) and `IS_TRUE`.

    Sorted so that of each key the row to keep is first: the newest that a change of the topic made, else the newest.
    """
    wanted = KeyIndex()
    keys = np.unique(keys, axis=0)
    wanted.put(keys, np.arange(len(keys), dtype=np.int64))
    found = []
    for data_file, rows in owned.files(table, [OFFSET]):
        numbers = wanted.locate(fingerprints(rows, owned.contract.key))
        rows = rows.with_columns(pl.Series(NUMBER, numbers), pl.lit(data_file.file_path).alias(PATH))
        found.append(rows.filter(pl.col(NUMBER) != FREE))
    rows = pl.concat(found)
    rows = rows.with_columns(pl.Series(IS_TRUE, owned.is_true(rows)))
    return rows.sort([NUMBER, IS_TRUE, OFFSET, PATH, ROW], descending=[False, True, True, True, True])
