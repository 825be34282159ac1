"""Whose rows are whose: which rows of a table the changes of some topic partitions may replace, each key once.

Rows that sinks write say which partition they came from. Those of others may not: an INSERT has to make one up. So a
row that claims another partition belongs to those whose key does, by the partitioner that every record is judged by.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from olist.batches import OFFSET, PARTITION
from olist.changes import codec
from olist.contracts import Contract
from olist.lake.key_index import FREE, U64, KeyIndex, fingerprints
from olist.lake.live_rows import ROW, live_rows
from olist.partitioner import partitions_of_lines
from olist.positions import Positions

NUMBER, IS_TRUE, PATH = "_number", "_is_true", "_path"


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
