"""Connect to the shop's database, in the schema that its topics are named after."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from olist.errors import BadInput, ServerTrouble
from olist.settings import Settings

CONNECT_TIMEOUT_S = 5


def schema_of(topic_prefix: str) -> str:
    """The schema whose tables Debezium writes to ``<prefix>.<table>``: it names topics ``<name>.<schema>.<table>``."""
    return topic_prefix.rpartition(".")[2]


def connect(settings: Settings) -> psycopg.Connection:
    """A connection in autocommit mode, its search path the shop's schema.

    Raises:
        ServerTrouble: PostgreSQL does not answer, or not yet.
        BadInput: it refuses this user or knows no such database.
    """
    return _connect(settings, settings.shop_url)


def _connect(settings: Settings, url: str) -> psycopg.Connection:
    password = settings.shop_password.get_secret_value() if settings.shop_password else None
    try:
        connection = psycopg.connect(url, autocommit=True, password=password, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        raise _refused(url, error) from error
    schema = sql.Identifier(schema_of(settings.topic_prefix))
    connection.execute(sql.SQL("set search_path to {}").format(schema))
    return connection


def ensure_database(settings: Settings) -> None:
    """Create the shop's database and schema where they are missing, as the shop's user.

    Raises:
        ServerTrouble, BadInput: as `connect`.
    """
    if not _is_there(settings):
        name = urlsplit(settings.shop_url).path.lstrip("/")
        with _connect(settings, urlsplit(settings.shop_url)._replace(path="/postgres").geturl()) as beside:
            beside.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    with connect(settings) as connection:
        schema = sql.Identifier(schema_of(settings.topic_prefix))
        connection.execute(sql.SQL("create schema if not exists {}").format(schema))


def _is_there(settings: Settings) -> bool:
    try:
        connect(settings).close()
    except BadInput as error:
        if isinstance(error.__cause__, psycopg.OperationalError) and _no_database(error.__cause__):
            return False
        raise
    return True


def _no_database(error: psycopg.OperationalError) -> bool:
    return "does not exist" in str(error) and "database" in str(error)


def _refused(url: str, error: psycopg.OperationalError) -> BadInput | ServerTrouble:
    """A connection's failure carries no code, only the server's words: FATAL unless it is starting or stopping."""
    said = str(error).strip()
    where = urlsplit(url)
    shown = f"{where.hostname}:{where.port or 5432}{where.path}"
    passing = ("starting up", "shutting down", "recovery", "too many")
    if "FATAL" in said and not any(words in said for words in passing):
        return BadInput(f"the shop's database {shown}: {said}", hint="OLIST_SHOP names it; OLIST_SHOP_PASSWORD")
    return ServerTrouble("shop", f"{shown}: {said}", hint="`olist up` starts PostgreSQL here")
