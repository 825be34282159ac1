"""Connections to the warehouse that the tables of one process take in turn.

A table needs one from staging a batch to its commit, so a process has about as many as it writes tables side by side,
however many tables it carries.
"""

from __future__ import annotations

from select import POLLIN, poll
from threading import Lock

import psycopg
from psycopg.pq import TransactionStatus

from sinks.postgres.connection import connect


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
