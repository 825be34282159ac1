"""The shop's database, the source of change data capture: how to reach it, and the names that capture relies on.

The producers write to it and make its schema; `connect` has it captured. Both meet here and in the database itself.
"""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from olist.clients.postgres import endpoint
from olist.errors import BadInput, ServerTrouble
from olist.settings import Settings

CONNECT_TIMEOUT_S = 5

# Made by the shop's migrations.
PUBLICATION = "cdc"
HEARTBEAT, SIGNAL = "cdc_heartbeat", "cdc_signal"

PASSING = ("starting up", "shutting down", "recovery", "too many", "not yet accepting")


def split_prefix(topic_prefix: str) -> tuple[str, str]:
    """Debezium's ``topic.prefix`` and the schema of the source: it names topics ``<prefix>.<schema>.<table>``.

    Raises:
        BadInput: the setting has no dot, so it cannot name both.
    """
    name, dot, schema = topic_prefix.rpartition(".")
    if not dot:
        raise BadInput(
            f"OLIST_TOPIC_PREFIX={topic_prefix} names no schema: captured topics are <name>.<schema>.<table>",
            hint=f"OLIST_TOPIC_PREFIX={topic_prefix}.public",
        )
    return name, schema


def database_name(settings: Settings) -> str:
    """As PostgreSQL has it: in a URL it is percent-encoded."""
    return unquote(urlsplit(settings.shop_url).path.lstrip("/"))


def connect(settings: Settings, *, url: str | None = None) -> psycopg.Connection:
    """A connection in autocommit mode to the shop, or to another database of its server, in the shop's schema.

    Raises:
        ServerTrouble: PostgreSQL does not answer, or not yet.
        BadInput: it refuses this user, or knows no such database; or the setting is no URL.
    """
    url = url or settings.shop_url
    shown = endpoint(url, "OLIST_SHOP" if settings.shop else "OLIST_POSTGRES")
    password = settings.shop_password.get_secret_value() if settings.shop_password else None
    try:
        connection = psycopg.connect(url, autocommit=True, password=password, connect_timeout=CONNECT_TIMEOUT_S)
    except psycopg.OperationalError as error:
        raise _refused(shown, error) from error
    _name, schema = split_prefix(settings.topic_prefix)
    connection.execute(sql.SQL("set search_path to {}").format(sql.Identifier(schema)))
    return connection


def _refused(shown: str, error: psycopg.OperationalError) -> BadInput | ServerTrouble:
    """A failed connection carries no code, only the server's words: FATAL, unless it is starting or stopping."""
    said = str(error).strip()
    if 'database "' in said and "does not exist" in said:
        return BadInput(f"the shop's database {shown} does not exist", hint="`olist shop migrate` creates it")
    if "FATAL" in said and not any(words in said for words in PASSING):
        return BadInput(f"the shop's database {shown}: {said}", hint="look at OLIST_SHOP and OLIST_SHOP_PASSWORD")
    return ServerTrouble("shop", f"{shown}: {said}", hint="`olist up` starts PostgreSQL here")
