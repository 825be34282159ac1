"""Replication slots: what a reader that lags, or is gone, makes PostgreSQL keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg
from psycopg import sql

from olist.clients.shop import connect, database_name
from olist.errors import ServerTrouble
from olist.settings import Settings

MEGABYTE = 1_000_000
LOOK = """
select slot_name, coalesce(database, ''), active, coalesce(wal_status, ''),
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint,
       safe_wal_size
from pg_replication_slots where slot_type = 'logical' order by slot_name
"""


class Slot(msgspec.Struct, frozen=True):
    """One logical slot. `kept` is the WAL that it keeps from being removed, `behind` what its reader has not
    confirmed, `left` how much more may be written before it is lost (None: no limit, or lost), all in bytes."""

    name: str
    database: str
    active: bool
    wal_status: str
    kept: int
    behind: int
    left: int | None

    def line(self) -> str:
        """It in one line."""
        reader = "read" if self.active else "read by nobody"
        left = "" if self.left is None else f", lost after {self.left / MEGABYTE:,.0f} MB more"
        return (
            f"slot {self.name} ({self.database}): {reader}, {self.behind / MEGABYTE:,.1f} MB behind, "
            f"keeps {self.kept / MEGABYTE:,.1f} MB of WAL{left}"
        )

    def warning(self, limit_mb: int) -> str:
        """What is wrong with it, or nothing."""
        if self.wal_status == "lost":
            return "lost: WAL that its reader needs is gone; docs/cdc.md says how to begin anew"
        if self.wal_status == "unreserved":
            return "about to be lost: max_slot_wal_keep_size is used up"
        if self.kept > limit_mb * MEGABYTE:
            return f"keeps more WAL than OLIST_SLOT_WARNING_MB={limit_mb}: " + (
                "its reader lags" if self.active else "nobody reads it; `olist connect delete --drop-slot` drops it"
            )
        return ""


def facts(found: Iterable[Slot], limit_mb: int) -> list[dict[str, Any]]:
    """For a program: each slot's fields, and `warning`."""
    return [{**msgspec.structs.asdict(slot), "warning": slot.warning(limit_mb)} for slot in found]


def slots(settings: Settings) -> list[Slot]:
    """The logical slots of the shop's server, as any user may see them.

    Raises:
        ServerTrouble: it does not answer.
        BadInput: it refuses this user.
    """
    with connect(settings, url=_server(settings)) as connection:
        return [Slot(*row) for row in connection.execute(LOOK)]


def database_is_there(settings: Settings) -> bool:
    """Has the server the shop's database? Its slots go with a database that is dropped.

    Raises:
        ServerTrouble, BadInput: the server cannot be reached.
    """
    with connect(settings, url=_server(settings)) as connection:
        wanted = [database_name(settings)]
        return connection.execute("select from pg_database where datname = %s", wanted).rowcount > 0


def _server(settings: Settings) -> str:
    """Slots belong to the server; the shop itself may not be there yet."""
    return urlsplit(settings.shop_url)._replace(path="/postgres").geturl()


def drop(settings: Settings, name: str) -> bool:
    """Drop a slot, so that its WAL can go; False when there is none. Whoever still reads from it is cut off.

    Raises:
        ServerTrouble: it is still in use.
    """
    with connect(settings, url=_server(settings)) as connection:
        if connection.execute("select from pg_replication_slots where slot_name = %s", [name]).rowcount == 0:
            return False
        try:
            connection.execute(sql.SQL("select pg_drop_replication_slot({})").format(sql.Literal(name)))
        except psycopg.errors.ObjectInUse as error:
            raise ServerTrouble("shop", str(error).strip(), hint="the connector still runs; delete it first") from error
    return True
