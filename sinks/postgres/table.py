"""One contract's table in the warehouse. Exactly once: rows and positions move in one transaction.

`stage` opens the transaction and COPYs the last change of each key into a temporary table that only this connection
sees; it locks nothing that others use. `commit` then, in this order:

1. locks the position rows of the batch's partitions and compares them with those this process started from (`Fenced`);
2. upserts the rows, unless the row there carries an equal or higher offset;
3. removes the rows whose last change is a delete (they are gone, not marked);
4. moves the positions to the next offset to read, one more than the last applied;
5. COMMITs.

Positions are locked before rows, so a zombie and its successor queue up at 1 and never deadlock over rows. When the
connection is lost during 5 nobody knows whether it happened: `ServerTrouble` says so, and `open` reads what is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress

import polars as pl
import psycopg
from psycopg.pq import TransactionStatus

from olist.batches import OP, Batch
from olist.contracts import Contract, Evolution, evolve
from olist.errors import ServerTrouble
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import Refusal, SinkTable
from sinks.postgres import positions
from sinks.postgres.columns import live_columns
from sinks.postgres.connection import SERVER, reason, translated
from sinks.postgres.connection import connect as connected
from sinks.postgres.ddl import alter_table, comments, create_table, table_name
from sinks.postgres.mart_views import set_aside, take_down, views_over
from sinks.postgres.rows import csv, refused_rows
from sinks.postgres.schema_lock import ALONE
from sinks.postgres.statements import LIMIT_IDLE, Statements

ROW = "_row"


def connect(contract: Contract, settings: Settings) -> PostgresTable:
    """The contract's table in the warehouse of the settings, not yet opened."""
    return PostgresTable(contract, settings.postgres_url)


class PostgresTable(SinkTable):
    """See the module for what it promises."""

    name = SERVER

    def __init__(self, contract: Contract, url: str) -> None:
        super().__init__(contract)
        self._url = url
        self._statements = Statements(contract)
        self._connection: psycopg.Connection | None = None
        self._staged_ops: frozenset[str] = frozenset()

    def open(self) -> Positions | None:
        """Connect anew, create or evolve the table, and read its positions."""
        self.close()
        self._connection = connection = connected(self._url)
        with translated(), connection.transaction():
            connection.execute(ALONE)
            positions.create_table(connection)
            self._create_or_evolve(connection)
            connection.execute(self._statements.create_stage)
            return positions.read(connection, self.contract.table)

    def _create_or_evolve(self, connection: psycopg.Connection) -> None:
        there = live_columns(connection, self.contract)
        if not there:
            # Positions of a table that somebody dropped would skip the rows it held.
            connection.execute(positions.FORGET, (self.contract.table,))
            connection.execute(create_table(self.contract).encode())
            self._comment(connection)
            return
        evolution = evolve(f"postgres {table_name(self.contract)}", there, self.contract.columns)
        if statement := alter_table(self.contract, there, evolution):
            with set_aside(connection, table_name(self.contract)) if evolution.widened else nullcontext():
                connection.execute(statement.encode())
        if evolution != Evolution():
            self._comment(connection)

    def _comment(self, connection: psycopg.Connection) -> None:
        if statements := comments(self.contract):
            connection.execute(statements.encode())

    def own(self, partitions: frozenset[int]) -> None:
        """Nothing to load: the server finds the rows."""

    def stage(self, batch: Batch) -> Sequence[Refusal]:
        """COPY the last change of each key that PostgreSQL takes.

        A refused change does not hide the one before it of the same key: that one is staged instead.
        """
        with translated():
            refused = {refusal.row: refusal for refusal in refused_rows(self.contract, batch.frame)}
            while culprits := self._stage(batch, refused):
                refused |= {culprit.row: culprit for culprit in culprits}
        return [refused[row] for row in sorted(refused)]

    def _stage(self, batch: Batch, refused: dict[int, Refusal]) -> list[Refusal]:
        connection = self._begin()
        rows = batch.frame.with_row_index(ROW)
        if refused:
            rows = rows.filter(~pl.col(ROW).is_in(list(refused)))
        rows = rows.unique(subset=self.contract.key, keep="last", maintain_order=True)
        self._staged_ops = frozenset(rows[OP].unique())
        return self._copy(connection, rows) if rows.height else []

    def _copy(self, connection: psycopg.Connection, rows: pl.DataFrame) -> list[Refusal]:
        """COPY the rows; where the server refuses, halve until the culprits stand alone."""
        try:
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(self._statements.copy) as copy:
                copy.write(csv(self.contract, rows))
        except psycopg.DataError as error:
            if rows.height == 1:
                return [Refusal(int(rows[ROW][0]), reason(error))]
            middle = rows.height // 2
            return self._copy(connection, rows[:middle]) + self._copy(connection, rows[middle:])
        return []

    def commit(self, batch: Batch, held: Positions) -> Positions:
        """The numbered steps of the module."""
        moved = held.advanced(batch.next)
        connection = self._opened()
        try:
            with translated():
                self._resume(connection, batch)
                connection.execute(LIMIT_IDLE)
                positions.lock(connection, self.contract.table, sorted(batch.next), held)
                self._apply(connection)
                positions.move(connection, self.contract.table, batch.next)
                connection.execute(b"COMMIT")
        finally:
            self._abandon()
        return moved

    def _resume(self, connection: psycopg.Connection, batch: Batch) -> None:
        """Go on in the transaction that `stage` began; a batch without rows may do without one."""
        if connection.info.transaction_status == TransactionStatus.INTRANS:
            return
        if batch.frame.height:
            raise ServerTrouble(SERVER, "the staged batch is gone with its transaction")
        self._staged_ops = frozenset()
        self._begin()

    def _apply(self, connection: psycopg.Connection) -> None:
        if self._staged_ops - {"d"}:
            connection.execute(self._statements.upsert)
        if "d" in self._staged_ops:
            connection.execute(self._statements.delete)

    def drops_with_it(self) -> Sequence[str]:
        """The marts' views that read the table."""
        with connected(self._url) as connection, translated():
            return [view.name for view in views_over(connection, [table_name(self.contract)])]

    def drop(self) -> None:
        """Drop the table with the marts' views that read it, and forget its positions, in one transaction."""
        self.close()
        self._connection = connection = connected(self._url)
        with translated(), connection.transaction():
            connection.execute(ALONE)
            positions.create_table(connection)
            take_down(connection, views_over(connection, [table_name(self.contract)]))
            connection.execute(f"DROP TABLE IF EXISTS {table_name(self.contract)}".encode())
            connection.execute(positions.FORGET, (self.contract.table,))

    def close(self) -> None:
        """Close the connection; what was staged goes with it."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _opened(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            raise ServerTrouble(SERVER, "the connection is closed")
        return self._connection

    def _begin(self) -> psycopg.Connection:
        """A new transaction; what was staged before is gone."""
        connection = self._opened()
        self._abandon()
        connection.execute(b"BEGIN ISOLATION LEVEL READ COMMITTED")
        return connection

    def _abandon(self) -> None:
        """End a transaction that did not commit. The connection may be broken, and then the server ends it."""
        connection = self._connection
        if connection is not None and connection.info.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                connection.execute(b"ROLLBACK")
