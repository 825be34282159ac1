"""PostgreSQL's answers and URLs: which errors are transient, and how an address is shown without its password.

An error of a running session carries its SQLSTATE. One of connecting does not (libpq keeps only the words), so there
the server's English words are looked at; a server that speaks another language is waited for. Errors about a URL name
the setting, never its value.
"""

from __future__ import annotations

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from olist.errors import BadInput

# Answers about the server's state rather than about what it was asked; psycopg counts them among its InternalErrors.
BUSY = (errors.IdleInTransactionSessionTimeout, errors.ReadOnlySqlTransaction)

# What a server says at the door and will say again. That it starts, stops, recovers or is full passes.
REFUSALS = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects connection",
    "permission denied for database",
    "is not permitted to log in",
    "is not currently accepting connections",
    "unsupported startup parameter",
    "unrecognized configuration parameter",
    "no such user",
    "no such database",
    "server does not support SSL",
    "certificate verify failed",
    "does not match host name",
    "alert certificate required",
    "alert unknown ca",
    "invalid connection option",
)


def is_transient(error: psycopg.Error) -> bool:
    """Whether the same request may succeed later: the server is away, starting, busy, full, or ended a deadlock."""
    if isinstance(error, errors.InvalidAuthorizationSpecification | errors.InvalidCatalogName):
        return False
    if error.sqlstate is None and _refused_at_the_door(str(error)):
        return False
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, *BUSY))


def _refused_at_the_door(words: str) -> bool:
    missing = ('role "', 'database "', 'user "')
    return any(refusal in words for refusal in REFUSALS) or (
        "does not exist" in words and any(kind in words for kind in missing)
    )


HINT = "postgresql://user:password@host:5432/database; write a password's / as %2F, its @ as %40, its : as %3A"


def endpoint(url: str, setting: str) -> str:
    """``host:port/database as user``.

    Raises:
        BadInput: libpq cannot read it, or takes a part of the password for a host, a port or a database.
    """
    try:
        read = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # Not chained: libpq's words quote the URL, password included.
        raise BadInput(f"{setting} is not a URL that PostgreSQL can read", hint=HINT) from None
    host, port, database = (str(read.get(name, "")) for name in ("host", "port", "dbname"))
    if "@" in host + port + database or not all(one.isdigit() for one in port.split(",") if one):
        raise BadInput(f"{setting} is not a URL that PostgreSQL can read: its password is cut in two", hint=HINT)
    return f"{host}:{port or 5432}/{database} as {read.get('user')}"
