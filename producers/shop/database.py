"""Create the shop's database and schema where they are missing."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlsplit

import psycopg
from psycopg import errors, sql

from olist.clients.shop import connect, database_name, split_prefix
from olist.errors import BadInput
from olist.settings import Settings


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
