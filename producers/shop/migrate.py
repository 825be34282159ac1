"""Create the shop's database where it is missing and bring its schema up to date.

The schema is numbered SQL files, each applied once, each in a transaction of its own.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import errors, sql

from olist.clients.shop import connect, database_name, split_prefix
from olist.errors import BadInput, Stopped
from olist.settings import Settings

FOLDER = Path(__file__).with_name("migrations")
LOCK = 7_310_418  # two that migrate at once take turns
LEDGER = "create table if not exists schema_migrations (name text primary key, applied_at timestamptz default now())"


def ensure_database(settings: Settings) -> None:
    """Create what is missing, as the shop's user.

    Raises:
        ServerTrouble: PostgreSQL does not answer.
        BadInput: it refuses this user.
    """
    # Another one may make the same at the same moment; the catalogue's own index then refuses ours.
    made_by_another = suppress(errors.DuplicateDatabase, errors.UniqueViolation)
    if not _is_there(settings):
        where = urlsplit(settings.shop_url)
        with connect(settings, url=where._replace(path="/postgres").geturl()) as beside, made_by_another:
            beside.execute(sql.SQL("create database {}").format(sql.Identifier(database_name(settings))))
    _name, schema = split_prefix(settings.topic_prefix)
    with connect(settings) as connection, made_by_another:
        connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))


def _is_there(settings: Settings) -> bool:
    try:
        connect(settings).close()
    except BadInput as error:
        if isinstance(error.__cause__, psycopg.OperationalError) and _names_no_database(str(error.__cause__)):
            return False
        raise
    return True


def _names_no_database(said: str) -> bool:
    return 'database "' in said and "does not exist" in said


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
