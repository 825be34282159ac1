"""Tables that a test changes row by row, on their topics and in memory, so that an oracle can be asked at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

import msgspec
import polars as pl

from olist.batches import META, frame_schema
from olist.changes import codec
from olist.contracts import Contract, Row
from olist.settings import Settings
from olist.tables import TABLES
from tests.written import Writer, envelope

Records = list[tuple[bytes | None, bytes | None]]


class LiveTables:
    """The newest rows by table and key. Each change is committed a second after the one before."""

    def __init__(self, settings: Settings, *, copies: int = 1) -> None:
        self.rows: dict[str, dict[tuple[Any, ...], Row]] = {table: {} for table in TABLES}
        self.copies = copies  # of every record, one behind the other
        self._writer = Writer(settings)
        self._seconds = count(1_500_000_000)

    def put(self, contract: Contract, rows: Iterable[Row]) -> None:
        """Create rows, or replace those of their keys."""
        changes: Records = []
        for row in rows:
            key = codec(contract).key_of(row)
            op = "u" if key in self.rows[contract.table] else "c"
            changes.append((codec(contract).encode_key(key), envelope(contract, op, row, at_s=next(self._seconds))))
            self.rows[contract.table][key] = row
        self._write(contract, changes)

    def change(self, contract: Contract, of: Callable[[Any], bool], **values: Any) -> int:
        """Set columns of the rows that are meant; how many these are."""
        meant = [row for row in self.rows[contract.table].values() if of(row)]
        self.put(contract, [msgspec.structs.replace(row, **values) for row in meant])
        return len(meant)

    def delete(self, contract: Contract, of: Callable[[Any], bool], *, lone_tombstones: bool = False) -> int:
        """Delete the rows that are meant, by envelope and tombstone or by the tombstone alone; how many these are."""
        meant = [key for key, row in self.rows[contract.table].items() if of(row)]
        changes: Records = []
        for key in meant:
            row = self.rows[contract.table].pop(key)
            name = codec(contract).encode_key(key)
            told = [] if lone_tombstones else [(name, envelope(contract, "d", None, row, at_s=next(self._seconds)))]
            changes += [*told, (name, None)]
        self._write(contract, changes)
        return len(meant)

    def frames(self) -> Mapping[str, pl.DataFrame]:
        """Every table as a typed frame, times as microseconds: as `olist.source` reads files."""
        return {table: self._frame(contract) for table, contract in TABLES.items()}

    def _frame(self, contract: Contract) -> pl.DataFrame:
        schema = {name: kind for name, kind in frame_schema(contract).items() if name not in META}
        rows = [msgspec.structs.astuple(row) for row in self.rows[contract.table].values()]
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(pl.Datetime).cast(pl.Int64))

    def _write(self, contract: Contract, changes: Records) -> None:
        self._writer.raw(contract, [record for change in changes for record in [change] * self.copies])
