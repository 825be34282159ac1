"""Transactions into the shop, many in flight: each is one unit between two sync points of libpq's pipeline.

A transaction carries its own progress, compared and set in the same commit, so that what is written and what is known
to be written never part. One that is refused makes all that follow it be refused too. The progress comes first: its
row is the lock for which two replays, or one and `forget`, take turns, so neither meets rows of the other half-way.

Commits are not waited for on disk (``synchronous_commit=off``). A crash of PostgreSQL may take back the last of them,
progress included, and a resumed replay writes them again; nobody else has seen them, since logical decoding hands out
only what is on disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import errors

from olist.errors import Stopped
from producers.shop.transactions import ADVANCE, BEGIN, FORGET, Transaction


@dataclass(frozen=True)
class Done:
    """What the database holds: a data set's fingerprint, empty if none's, and the number of its last change."""

    fingerprint: str
    seq: int


class Writer:
    """Writes on one connection that is in autocommit mode."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        connection.execute("set synchronous_commit = off")

    def done(self) -> Done | None:
        """How far a replay has come; None when there was none, not even a schema."""
        try:
            row = self._connection.execute("select fingerprint, seq from replay_progress").fetchone()
        except errors.UndefinedTable:
            return None
        return None if row is None else Done(*row)

    def begin(self, fingerprint: str) -> Done:
        """Note whose changes will come, unless the shop holds some; return what it holds."""
        row = self._connection.execute(BEGIN, [fingerprint]).fetchone()
        assert row is not None  # an upsert that returns
        return Done(*row)

    def forget(self, deletes: Iterable[str]) -> None:
        """Reset the progress and run the deletes, in one transaction: a replay that is under way is refused."""
        with self._connection.transaction():
            self._connection.execute(FORGET)
            for statement in deletes:
                self._connection.execute(statement.encode())

    def write(self, fingerprint: str, transactions: Iterable[Transaction]) -> None:
        """See `write`."""
        write(self._connection, fingerprint, transactions)


def write(connection: psycopg.Connection, fingerprint: str, transactions: Iterable[Transaction]) -> None:
    """Write a data set's transactions on a connection in autocommit mode, and wait until every commit was answered.

    Raises:
        Stopped: the database refused one; it and those after it are not written.
        psycopg.OperationalError: the connection is gone; ask `Writer.done` on another.
    """
    try:
        with connection.pipeline() as pipeline, connection.cursor() as cursor:
            for transaction in transactions:
                progress = (str(transaction.before), fingerprint, str(transaction.after))
                cursor.execute(ADVANCE, progress, prepare=True)
                for statement, values in transaction.statements:
                    cursor.execute(statement.encode(), values, prepare=True)
                pipeline.sync()
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise _refused(error) from error


def _refused(error: psycopg.Error) -> Stopped:
    if error.diag.table_name == "replay_progress" or isinstance(error, errors.DivisionByZero):
        return Stopped(
            "another replay writes to this shop: its progress is not where this one left it",
            hint="end the other one; `olist replay --to postgres` goes on after the last change that was written",
        )
    return Stopped(f"the shop's database refused a change: {error}", hint="mend the data or the shop's schema")
