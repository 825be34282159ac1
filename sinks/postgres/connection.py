"""Connections to the warehouse, and PostgreSQL's errors in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from olist.errors import ServerTrouble, Stopped
from olist.postgres_url import place

SERVER = "postgres"

# Sessions that wait for a lock give up and are retried; one that went silent is ended, so that no lock stays for ever.
OPTIONS = "-c lock_timeout=15s -c idle_in_transaction_session_timeout=600s -c timezone=UTC -c client_encoding=UTF8"

COPY_COLUMN = re.compile(r"COPY \w+, line \d+, column (\w+):")

# Answers about the server's state rather than about what it was asked; psycopg counts them among its InternalErrors.
BUSY = (errors.IdleInTransactionSessionTimeout, errors.ReadOnlySqlTransaction)


def connect(url: str) -> psycopg.Connection:
    """A connection that leaves BEGIN and COMMIT to its user, and notices a server that vanished within a minute.

    Raises:
        ServerTrouble: the server does not take connections.
        BadInput: the setting is no URL.
    """
    place(url, "OLIST_POSTGRES")
    with translated():
        return psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=10,
            options=OPTIONS,
            keepalives_idle=15,
            keepalives_interval=5,
            keepalives_count=4,
            tcp_user_timeout=60_000,
            application_name="olist sink",
        )


@contextmanager
def translated() -> Iterator[None]:
    """Tell trouble that passes from trouble that stays.

    Raises:
        ServerTrouble: the server is away, busy, out of room, or chose this transaction to end a deadlock.
        Stopped: it understood and refused: a missing privilege, a constraint that somebody added, a view in the way.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, *BUSY) as error:
        raise ServerTrouble(SERVER, reason(error), hint="`olist status`") from error
    except psycopg.Error as error:
        raise Stopped(f"{SERVER}: {reason(error)}", hint=_hint(error)) from error


def reason(error: psycopg.Error) -> str:
    """The server's first line, with the column that COPY stood at: the rest quotes data and statements."""
    told = error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
    at = COPY_COLUMN.match(error.diag.context or "")
    return f"{at[1]}: {told}" if at else told


def _hint(error: psycopg.Error) -> str:
    if isinstance(error, errors.DependentObjectsStillExist):
        # The server's hint is to drop them too; who they belong to, only their owner knows.
        return f"drop or change it first: {error.diag.message_detail}"
    return error.diag.message_hint or error.diag.message_detail or ""
