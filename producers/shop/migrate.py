"""Bring the shop's schema up to date: numbered SQL files, each once, each in a transaction of its own."""

from __future__ import annotations

from pathlib import Path

import psycopg

from olist.clients.shop import connect
from olist.errors import Stopped
from olist.settings import Settings
from producers.shop.database import ensure_database

FOLDER = Path(__file__).with_name("migrations")
LOCK = 7_310_418  # two that migrate at once take turns
LEDGER = "create table if not exists schema_migrations (name text primary key, applied_at timestamptz default now())"


def migrations() -> list[Path]:
    """The SQL files in their order."""
    return sorted(FOLDER.glob("[0-9]*.sql"))


def migrate(settings: Settings) -> list[str]:
    """Apply what is missing; return the names of what was applied. The database is created where it is missing.

    Raises:
        Stopped: a file was refused; those before it stay applied.
        ServerTrouble, BadInput: the database cannot be reached.
    """
    ensure_database(settings)
    with connect(settings) as connection:
        connection.execute("select pg_advisory_lock(%s)", [LOCK])
        connection.execute(LEDGER)
        done = {name for (name,) in connection.execute("select name from schema_migrations")}
        missing = [path for path in migrations() if path.stem not in done]
        for path in missing:
            _apply(connection, path)
    return [path.stem for path in missing]


def _apply(connection: psycopg.Connection, path: Path) -> None:
    try:
        with connection.transaction():
            connection.execute(path.read_bytes())
            connection.execute("insert into schema_migrations (name) values (%s)", [path.stem])
    except psycopg.Error as error:
        raise Stopped(
            f"migration {path.name} was refused, nothing of it was kept: {error}",
            hint="the database holds something else under these names, or the user lacks a right",
        ) from error
