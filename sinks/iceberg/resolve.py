"""`olist sink resolve iceberg`: accept the rows of a table that another engine set back, and read on from there."""

from __future__ import annotations

from dataclasses import dataclass

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table import Table

from olist.contracts import Contract
from olist.errors import ServerTrouble
from olist.lake.ancestry import accept_rows, rollback
from olist.lake.catalog import identifier, open_catalog
from olist.lake.errors import lake_errors
from olist.positions import Positions
from olist.settings import Settings


@dataclass(frozen=True)
class Resolution:
    """One lake table: where its rows stand, and how far it was committed where that is further (None: it is not)."""

    table: str
    stands: Positions | None
    committed: Positions | None = None

    def __str__(self) -> str:
        at = self.stands.next if self.stands else "the beginning"
        if self.committed is None:
            return f"{self.table}: nothing to resolve, it stands at {at}"
        return f"{self.table}: was committed up to {self.committed.next}, its rows stand at {at}"


def resolve(contract: Contract, settings: Settings, *, apply: bool) -> list[Resolution]:
    """What there is to resolve of a contract's lake tables; with `apply`, sinks read on from where the rows stand.

    Raises:
        PositionRefused: the table's snapshots do not say where its rows stand.
        ServerTrouble: catalog or storage is away, or the table changed in the same moment.
    """
    with lake_errors():
        catalog = open_catalog(settings)
    try:
        names = [contract.table, *([f"{contract.table}_changes"] if contract.history else [])]
        found = [_resolved(catalog, name, contract.table, apply=apply) for name in names]
    finally:
        catalog.close()
    return [resolution for resolution in found if resolution is not None]


def _resolved(catalog: SqlCatalog, name: str, contract: str, *, apply: bool) -> Resolution | None:
    with lake_errors():
        try:
            table = catalog.load_table(identifier(name))
        except NoSuchTableError:
            return None
        stands, committed = rollback(table, contract)
        if apply and stands is not None and committed is not None:
            _accept(catalog, table, stands)
        return Resolution(name, stands, committed)


def _accept(catalog: SqlCatalog, table: Table, stands: Positions) -> None:
    try:
        accept_rows(catalog, table, stands)
    except CommitFailedException as error:
        raise ServerTrouble("lake catalog", f"{table.name()[-1]} changed in the same moment; run it again") from error
