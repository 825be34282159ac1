"""One compactor per table: a lease in a table property, so that two do not do the same work.

It saves work and guards nothing: of two rewrites the slower is lost at its commit, whoever had the lease. So a
lease that two take in the same moment, or that runs out under a paused process, costs time and no rows. It is short, so
that the table of a killed compactor waits for seconds, and renewed by the clock while its owner works.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
import structlog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from olist.errors import ServerTrouble
from olist.lake.errors import lake_errors

log = structlog.get_logger()

LEASE = "olist.compaction.lease"
LASTS_MS = 30_000
ATTEMPTS = 3  # to take it beside a writer that commits in the same moment
RENEWALS = 3  # in the time of a lease: two may fail, and a long run costs six small commits a minute


class LeaseHolder(msgspec.Struct, frozen=True):
    """Who compacts a table, and until when."""

    owner: str
    until_ms: int


@dataclass(frozen=True)
class Lease:
    """Acquires leases for one process."""

    catalog: SqlCatalog
    owner: str
    lasts_ms: int = LASTS_MS

    def acquire(self, table: Table, now_ms: int) -> bool:
        """Acquire or renew the lease of a table; False while it is another's, or writers are faster.

        Raises:
            NoSuchTableError: the table was dropped.
            ServerTrouble: catalog or storage is away.
        """
        wanted = LeaseHolder(self.owner, now_ms + self.lasts_ms)
        for _attempt in range(ATTEMPTS):
            if not is_free(lease_holder(table), self.owner, now_ms):
                return False
            table = self._write(table, wanted)
            if lease_holder(table) == wanted:
                return True
        return False

    def release(self, table: Table) -> None:
        """Let another acquire it at once, unless another has it already.

        Raises:
            NoSuchTableError: the table was dropped.
            ServerTrouble: catalog or storage is away.
        """
        with lake_errors():
            table = self.catalog.load_table(table.name())
        now = lease_holder(table)
        if now is not None and now.owner == self.owner:
            self._write(table, LeaseHolder(self.owner, 0))

    def _write(self, table: Table, lease: LeaseHolder) -> Table:
        """Try to write a lease; the table as it is then."""
        with lake_errors():
            transaction = table.transaction()
            transaction.set_properties({LEASE: msgspec.json.encode(lease).decode()})
            with suppress(CommitFailedException):  # a writer committed in the same moment
                transaction.commit_transaction()
            return self.catalog.load_table(table.name())


@dataclass
class Renewal:
    """Renews a lease that was just taken, whenever it is called and a renewal is due: call it often."""

    lease: Lease
    name: tuple[str, ...]
    now_ms: Callable[[], int]
    _due_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self._put_off(self.now_ms())

    def __call__(self) -> None:
        """Renew if due. A renewal that fails costs at most work that is done twice, so the owner goes on."""
        now_ms = self.now_ms()
        if now_ms < self._due_ms:
            return
        self._put_off(now_ms)
        try:
            with lake_errors():
                table = self.lease.catalog.load_table(self.name)
            if not self.lease.acquire(table, now_ms):
                log.info("lease not renewed", table=self.name[-1], holder=str(lease_holder(table)))
        except ServerTrouble as trouble:
            log.warning("lease not renewed", table=self.name[-1], reason=str(trouble))

    def _put_off(self, now_ms: int) -> None:
        self._due_ms = now_ms + self.lease.lasts_ms // RENEWALS


def lease_holder(table: Table) -> LeaseHolder | None:
    """The lease in a table's properties."""
    text = table.properties.get(LEASE)
    return msgspec.json.decode(text, type=LeaseHolder) if text else None


def is_free(lease: LeaseHolder | None, owner: str, now_ms: int) -> bool:
    """Whether `owner` may take it."""
    return lease is None or lease.owner == owner or lease.until_ms <= now_ms
