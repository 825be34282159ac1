"""One compactor per table: a lease in a table property, so that two do not do the same work.

It saves work and guards nothing: a rewrite that another was faster with is lost at its commit, whoever held what. So a
lease that two take in the same moment, or that runs out under a paused process, costs time and no rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

LEASE = "olist.compaction.lease"


class Held(msgspec.Struct, frozen=True):
    """Who compacts a table, and until when."""

    owner: str
    until_ms: int


@dataclass(frozen=True)
class Lease:
    """Takes leases for one process."""

    catalog: SqlCatalog
    owner: str
    lasts_ms: int

    def take(self, table: Table, now_ms: int) -> bool:
        """Take or renew the lease of a table; False while it is another's."""
        if not is_free(held(table), self.owner, now_ms):
            return False
        return self._write(table, Held(self.owner, now_ms + self.lasts_ms))

    def give_back(self, table: Table) -> None:
        """Let another take it at once."""
        self._write(table, Held(self.owner, 0))

    def _write(self, table: Table, lease: Held) -> bool:
        transaction = table.transaction()
        transaction.set_properties({LEASE: msgspec.json.encode(lease).decode()})
        try:
            transaction.commit_transaction()
        except CommitFailedException:
            return False
        found = held(self.catalog.load_table(table.name()))
        return found is not None and found.owner == self.owner


def held(table: Table) -> Held | None:
    """The lease that a table's properties hold."""
    text = table.properties.get(LEASE)
    return msgspec.json.decode(text, type=Held) if text else None


def is_free(lease: Held | None, owner: str, now_ms: int) -> bool:
    """Whether `owner` may take it."""
    return lease is None or lease.owner == owner or lease.until_ms <= now_ms
