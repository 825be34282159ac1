"""The lake's current rows as any engine reads them: an Iceberg scan, position deletes applied by the reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pyarrow as pa
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from olist.contracts import Contract, ListOf
from olist.errors import ServerTrouble, Stopped
from olist.lake.ancestry import table_positions
from olist.lake.catalog import identifier, open_catalog
from olist.lake.live_rows import live_rows
from olist.lake.trouble import lake_trouble
from olist.lake.writable import refuse_unwritable
from olist.positions import Positions
from olist.settings import Settings
from sinks.check.held import Held, empty, names

ATTEMPTS = 3


def read(contract: Contract, settings: Settings) -> Held | None:
    """Rows and positions of one and the same commit; None when the lake has no such table.

    Raises:
        ContractRefused: others have made of the table what cannot be read exactly.
        ServerTrouble: catalog or storage does not answer.
        PositionRefused: another engine has set the table back.
        Stopped: a file that the table names is gone.
    """
    with _table(contract, settings) as table:
        if table is None:
            return None
        refuse_unwritable(table, contract)
        return _consistent(table, contract)


def positions(contract: Contract, settings: Settings) -> Positions | None:
    """The table's positions; None when there is no table or nothing was written.

    Raises:
        PositionRefused: another engine has set the table back.
        ServerTrouble: the catalog does not answer.
    """
    with _table(contract, settings) as table:
        return None if table is None else table_positions(table, contract.table)


@contextmanager
def _table(contract: Contract, settings: Settings) -> Iterator[Table | None]:
    with lake_trouble():
        catalog = open_catalog(settings)
    try:
        with lake_trouble():
            try:
                table = catalog.load_table(identifier(contract.table))
            except NoSuchTableError:
                table = None
        yield table
    finally:
        catalog.close()


def _consistent(table: Table, contract: Contract) -> Held:
    """One commit's rows and positions; those of the next one where compaction removes the files under the reading."""
    for _ in range(ATTEMPTS):
        read_at = table.metadata_location
        try:
            with lake_trouble():
                return Held(_rows(table, contract), table_positions(table, contract.table))
        except FileNotFoundError as error:
            with lake_trouble():
                table.refresh()
            if table.metadata_location == read_at:
                raise Stopped(f"lake table {contract.table}: a file that it names is gone: {error}") from error
    raise ServerTrouble("lake", f"{contract.table}: its files were replaced {ATTEMPTS} times while they were read")


def _rows(table: Table, contract: Contract) -> pl.DataFrame:
    there = set(table.schema().column_names)
    wanted = tuple(name for name in names(contract) if name in there)
    if any(column.nullable and isinstance(column.type, ListOf) for column in contract.columns):
        rows = _rows_with_null_lists(table, wanted)
    else:
        rows = pl.DataFrame(pl.from_arrow(table.scan(selected_fields=wanted).to_arrow())).select(wanted)
    return rows if rows.height else empty(contract).select(wanted)


def _rows_with_null_lists(table: Table, wanted: tuple[str, ...]) -> pl.DataFrame:
    """The rows as the files hold them. PyIceberg's own scan gives an empty list for a null one: its #3833."""
    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    types = pa.schema([schema.field(name).with_nullable(True) for name in wanted])
    parts = [
        pl.DataFrame(pl.from_arrow(rows.select(wanted).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(types)))
        for _file, rows in live_rows(table, wanted)
    ]
    return pl.concat(parts) if parts else pl.DataFrame(pl.from_arrow(types.empty_table()))
