"""Connections to the warehouse that the tables of one process take in turn, and PostgreSQL's errors in our words.

No setting of a role or a database changes what is read or written here: every transaction begins with the values of
`SETTINGS`, by ``SET LOCAL``. Nothing is set for a session, and no statement is prepared in one, so a pooler that hands
out its server's connections transaction by transaction (PgBouncer) may stand between.

A table needs a connection from staging a batch to its commit, so a process has about as many as it writes tables side
by side, however many tables it carries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from select import POLLIN, poll
from threading import Lock

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from olist.clients.postgres import endpoint, is_transient
from olist.errors import ServerTrouble, Stopped

SERVER = "postgres"

SETTINGS = {
    # A session that waits for a lock gives up and is retried; one that went silent is ended, so that no lock stays.
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "600s",
    "statement_timeout": "0",  # a large batch takes its time
    # How values are written and read as text.
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "row_security": "off",  # rows that a policy would hide from us are an error instead
    "client_min_messages": "warning",
}
SINCE_17 = {"transaction_timeout": "0"}

COPY_COLUMN = re.compile(r"COPY \w+, line \d+, column (\w+):")


def connect(url: str) -> psycopg.Connection:
    """A connection that leaves BEGIN and COMMIT to its user, and notices a server that vanished within a minute.

    Raises:
        ServerTrouble: the server does not take connections now.
        Stopped: it refuses this one: role, password, database.
        BadInput: the setting is no URL.
    """
    endpoint(url, "OLIST_POSTGRES")
    with translated():
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=10,
            client_encoding="UTF8",
            keepalives_idle=15,
            keepalives_interval=5,
            keepalives_count=4,
            tcp_user_timeout=60_000,
            application_name="olist sink",
            prepare_threshold=None,
        )
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.read_only = False
    return connection


def local_settings(connection: psycopg.Connection) -> bytes:
    """The statements that every transaction begins with."""
    since = SINCE_17 if connection.info.server_version >= 170_000 else {}
    return "".join(f"SET LOCAL {name} = '{value}';" for name, value in (SETTINGS | since).items()).encode()


@contextmanager
def transaction(connection: psycopg.Connection, *, force_rollback: bool = False) -> Iterator[None]:
    """A transaction with our settings; errors in our words.

    Raises:
        ServerTrouble, Stopped: as `translated`.
    """
    with translated(), connection.transaction(force_rollback=force_rollback):
        connection.execute(local_settings(connection))
        yield


@contextmanager
def translated() -> Iterator[None]:
    """Raise psycopg's errors as ours: transient ones as `ServerTrouble`, permanent ones as `Stopped`.

    Raises:
        ServerTrouble: the server is away, busy, out of room, or chose this transaction to end a deadlock.
        Stopped: it understood and refused: a role that is not there, a missing privilege, a constraint that somebody
            added, a view in the way.
    """
    try:
        yield
    except psycopg.Error as error:
        if is_transient(error):
            raise ServerTrouble(SERVER, reason(error), hint="`olist status`") from error
        raise Stopped(f"{SERVER}: {reason(error)}", hint=_hint(error)) from error


def reason(error: psycopg.Error) -> str:
    """The server's first line, with the column that COPY stood at: the rest quotes data and statements."""
    text = error.diag.message_primary or str(error).strip().partition("\n")[0] or type(error).__name__
    at = COPY_COLUMN.match(error.diag.context or "")
    return f"{at[1]}: {text}" if at else text


def _hint(error: psycopg.Error) -> str:
    if isinstance(error, errors.DependentObjectsStillExist):
        # The server's hint is to drop them too; who they belong to, only their owner knows.
        return f"drop or change it first: {error.diag.message_detail}"
    at_the_door = "look at OLIST_POSTGRES" if error.sqlstate is None else ""
    return error.diag.message_hint or error.diag.message_detail or at_the_door


class Pool:
    """The idle connections to one database. Closed when the last table that uses it leaves."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = Lock()
        self._idle: list[psycopg.Connection] = []
        self._users: set[int] = set()

    def join(self, user: object) -> None:
        """Keep connections for a user until it leaves."""
        with self._lock:
            self._users.add(id(user))

    def leave(self, user: object) -> None:
        """Close what is idle when nobody is left to use it."""
        with self._lock:
            self._users.discard(id(user))
            left = [] if self._users else self._emptied()
        _close(left)

    def take(self) -> psycopg.Connection:
        """The connection given back last that the server has not ended meanwhile, or a new one.

        Raises:
            ServerTrouble, Stopped: as `connect`.
        """
        while (idle := self._last_idle()) is not None:
            if not _has_word(idle):
                return idle
            idle.close()
        return connect(self.url)

    def _last_idle(self) -> psycopg.Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def give_back(self, connection: psycopg.Connection) -> None:
        """Take a connection back: one in a transaction is closed; one that broke says that the idle ones have too."""
        status = connection.info.transaction_status
        with self._lock:
            if status == TransactionStatus.IDLE and self._users:
                self._idle.append(connection)
                return
            left = self._emptied() if status == TransactionStatus.UNKNOWN else []
        _close([connection, *left])

    def _emptied(self) -> list[psycopg.Connection]:
        idle, self._idle = self._idle, []
        return idle


def _has_word(idle: psycopg.Connection) -> bool:
    """Whether the server has sent something nobody asked for: that it ended the session, most likely."""
    poller = poll()
    poller.register(idle.pgconn.socket, POLLIN)
    return bool(poller.poll(0))


def _close(connections: list[psycopg.Connection]) -> None:
    for connection in connections:
        connection.close()


_pools: dict[str, Pool] = {}
_making = Lock()


def pool_of(url: str) -> Pool:
    """The process's pool for a database."""
    with _making:
        return _pools.setdefault(url, Pool(url))
