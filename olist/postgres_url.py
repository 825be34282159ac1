"""A PostgreSQL URL as libpq reads it, without its password. Errors name the setting, never its value."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict

from olist.errors import BadInput

HINT = "postgresql://user:password@host:5432/database; write a password's / as %2F, its @ as %40, its : as %3A"


def place(url: str, setting: str) -> str:
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
