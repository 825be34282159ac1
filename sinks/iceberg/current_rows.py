"""The lake's rows as its files hold them, less the deleted ones: one commit's, file by file and batch by batch.

Beside the rows: what the manifests say of each file (rows, bounds, nulls, lake partition) must be true of it. Engines
skip files by that, so rows outside of it are found by a full scan and by no filtered one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import FileScanTask, Table

from olist.contracts import Contract
from olist.errors import Stopped
from olist.lake.ancestry import table_positions
from olist.lake.catalog import identifier, open_catalog
from olist.lake.errors import lake_errors
from olist.lake.live_rows import DeleteFiles
from olist.lake.writable import refuse_unwritable
from olist.positions import Positions
from olist.settings import Settings
from sinks.iceberg.file_claims import FileClaims
from sinks.readback import CHUNK_ROWS, Defects, Reading, ReplacedWhileRead, names

I64 = npt.NDArray[np.int64]


@contextmanager
def read(contract: Contract, settings: Settings, *, history: bool = False) -> Iterator[Reading | None]:
    """Rows and positions of one and the same commit, of the table or of its history; None when there is no such table.

    Raises:
        ContractRefused: others have made of the table what cannot be read exactly.
        ServerTrouble: catalog or storage does not answer.
        PositionRefused: another engine has set the table back.
        ReplacedWhileRead: by a chunk, when compaction removed the files of that commit meanwhile.
        Stopped: a file that the table names is gone.
    """
    with _table(contract, settings, history=history) as table:
        if table is None:
            yield None
            return
        refuse_unwritable(table, contract, history=history)
        defects = Defects()
        chunks = _chunks(table, names(contract, history=history), defects)
        yield Reading(table_positions(table, contract.table), chunks, defects=defects, late=_late_columns(table))


def positions(contract: Contract, settings: Settings) -> Positions | None:
    """The table's positions; None when there is no table or nothing was written.

    Raises:
        PositionRefused: another engine has set the table back.
        ServerTrouble: the catalog does not answer.
    """
    with _table(contract, settings, history=False) as table:
        return None if table is None else table_positions(table, contract.table)


@contextmanager
def _table(contract: Contract, settings: Settings, *, history: bool) -> Iterator[Table | None]:
    with lake_errors():
        catalog = open_catalog(settings)
    try:
        with lake_errors():
            try:
                table = catalog.load_table(identifier(f"{contract.table}_changes" if history else contract.table))
            except NoSuchTableError:
                table = None
        yield table
    finally:
        catalog.close()


def _late_columns(table: Table) -> frozenset[str]:
    """Columns that the first of the table's schemas did not have."""
    first = min(table.schemas().values(), key=lambda schema: schema.schema_id)
    there = {column.field_id for column in first.fields}
    return frozenset(column.name for column in table.schema().fields if column.field_id not in there)


def _chunks(table: Table, wanted: list[str], defects: Defects) -> Iterator[pl.DataFrame]:
    """The live rows; at least one chunk, be it empty."""
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    there = [name for name in wanted if name in schema.names]
    types = pa.schema([schema.field(name).with_nullable(True) for name in there])
    yield pl.DataFrame(pl.from_arrow(types.empty_table()))
    try:
        with lake_errors():
            tasks = list(table.scan().plan_files())
            deletes = DeleteFiles(table.io)
            for task in tasks:
                yield from _of_file(table, task, deletes, types, defects)
    except FileNotFoundError as error:
        read_at = table.metadata_location
        with lake_errors():
            table.refresh()
        if table.metadata_location == read_at:
            raise Stopped(f"lake table {table.name()[-1]}: a file that it names is gone: {error}") from error
        raise ReplacedWhileRead("lake", f"{table.name()[-1]}: its files were replaced while they were read") from error


def _of_file(
    table: Table, task: FileScanTask, deletes: DeleteFiles, types: pa.Schema, defects: Defects
) -> Iterator[pl.DataFrame]:
    path = task.file.file_path
    gone = deletes.rows([one.file_path for one in task.delete_files], {path}).get(path, np.empty(0, dtype=np.int64))
    claims, begin = FileClaims(table, task.file), 0
    with table.io.new_input(path).open() as stream:
        file = pq.ParquetFile(stream)  # type: ignore[arg-type]  # PyIceberg promises less than it gives
        read = [name for name in types.names if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=read, use_threads=False):
            frame = _as_table(batch, types)
            claims.see(frame)
            yield _without(frame, gone, begin)
            begin += frame.height
    for problem in claims.problems():
        defects.add("bounds", problem)


def _as_table(batch: pa.RecordBatch, types: pa.Schema) -> pl.DataFrame:
    """The batch with the table's columns: one that came later is null in an older file, a widened one is narrower."""
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in batch.schema.names
        else pa.nulls(batch.num_rows, field.type)
        for field in types
    ]
    return pl.DataFrame(pl.from_arrow(pa.table(columns, schema=types)))


def _without(frame: pl.DataFrame, gone: I64, begin: int) -> pl.DataFrame:
    here = gone[(gone >= begin) & (gone < begin + frame.height)] - begin
    if not len(here):
        return frame
    keep = np.ones(frame.height, dtype=bool)
    keep[here] = False
    return frame.filter(pl.Series(keep))
