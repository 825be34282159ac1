"""One contract's table in the warehouse. Exactly once: rows and positions move in one transaction.

`stage` opens the transaction and COPYs the last change of each key into a temporary table that only this connection
sees; it locks nothing that others use. `commit` then, in this order:

1. locks the position rows of the batch's partitions and compares them with those this process started from (`Fenced`);
2. looks up the positions' witnesses, so that rows which somebody emptied or restored are noticed (`TargetRewound`);
3. upserts the rows, unless the row there carries an equal or higher offset;
4. removes the rows whose last change is a delete (they are gone, not marked);
5. moves the positions to the next offset to read, one more than the last applied, and leaves them new witnesses;
6. COMMITs.

Positions are locked before rows, so a zombie and its successor queue up at 1 and never deadlock over rows. When the
connection is lost during 6 nobody knows whether it happened: `ServerTrouble` says so, and `open` reads what is true.

Positions whose witnesses are gone are forgotten when the table is empty: reading the topic again is all that it needs.
With other rows in it `open` refuses: reading again would not remove those that were deleted since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

import polars as pl
import psycopg
import structlog
from psycopg import errors
from psycopg.pq import TransactionStatus

from olist.batches import Batch
from olist.contracts import Contract, Evolution, evolve
from olist.errors import PositionRefused, ServerTrouble, TargetRewound
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import Refusal, SinkTable, Staged
from sinks.latest_accepted import ROW, latest_accepted, send_latest
from sinks.postgres import positions
from sinks.postgres.connection import SERVER, local_settings, pool_of, reason, transaction, translated
from sinks.postgres.mart_views import set_aside, take_down, views_over
from sinks.postgres.positions import Witnesses, described
from sinks.postgres.schema import ALONE, alter_table, comments, create_table, live_columns, table_name
from sinks.postgres.staging import BEGIN, LIMIT_IDLE, CsvRows, Statements, csv, refused_rows

log = structlog.get_logger()


def connect(contract: Contract, settings: Settings) -> PostgresTable:
    """The contract's table in the warehouse of the settings, not yet opened."""
    return PostgresTable(contract, settings.postgres_url)


@dataclass(frozen=True, eq=False)
class StagedRows:
    """The last change of each key that PostgreSQL takes: in the temporary table of the connection's transaction."""

    connection: psycopg.Connection
    rows: pl.DataFrame


class PostgresTable(SinkTable[StagedRows]):
    """See the module for what it promises."""

    name = SERVER

    def __init__(self, contract: Contract, url: str) -> None:
        super().__init__(contract)
        self._pool = pool_of(url)
        self._statements = Statements(contract)
        self._witnesses = Witnesses(contract)
        self._connection: psycopg.Connection | None = None  # from `stage` to `commit`
        self._staged: StagedRows | None = None  # what its transaction holds

    @property
    def where(self) -> str:
        """The table in messages."""
        return f"{SERVER} {table_name(self.contract)}"

    def open(self) -> Positions | None:
        """Create or evolve the table, and read its positions: those that its rows bear out."""
        self._give_back()
        self._pool.join(self)
        with self._lent() as connection, transaction(connection):
            connection.execute(ALONE)
            positions.create_table(connection)
            self._create_or_evolve(connection)
            self._judge_positions(connection)
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

    def _judge_positions(self, connection: psycopg.Connection) -> None:
        """Forget positions whose rows are gone.

        Raises:
            PositionRefused: other rows are there than the positions speak of.
        """
        table = self.contract.table
        adopted = self._witnesses.adopt(connection, table)
        broken = self._witnesses.broken(connection, table)
        if not (broken or adopted):
            return
        empty = self._witnesses.is_empty(connection)
        if empty:
            log.warning("reading again", table=self.where, reason="it is empty, its positions are not at the beginning")
            connection.execute(positions.FORGET, (table,))
        elif broken:
            raise PositionRefused(
                f"{self.where}: its rows are not those that its positions speak of: {described(broken)}; somebody "
                "restored or changed it, or emptied it and filled it anew",
                hint=f"`olist sink rebuild postgres --tables {table}` empties it and reads the topic from its "
                "beginning; or restore warehouse.sink_positions from the same dump as the table",
            )

    def assign(self, partitions: frozenset[int]) -> None:
        """Nothing to load: the server finds the rows."""

    def stage(self, batch: Batch) -> Staged[StagedRows]:
        """COPY the last change of each key that PostgreSQL takes.

        A refused change does not hide the one before it of the same key: that one is staged instead.
        """
        with self._given_back_on_error(), translated():
            connection = self._begin()
            changes = batch.frame.with_row_index(ROW)
            refused = send_latest(
                changes,
                self.contract.key,
                refused_rows(self.contract, batch.frame),
                send=lambda rows: self._copy(connection, rows),
                probe=lambda rows: self._probe(connection, rows),
            )
            self._staged = StagedRows(connection, latest_accepted(changes, self.contract.key, refused))
        return Staged(batch, self._staged, [refused[row] for row in sorted(refused)])

    def _probe(self, connection: psycopg.Connection, rows: pl.DataFrame) -> list[Refusal]:
        """What the server refuses of the rows; they are not staged."""
        with connection.transaction(force_rollback=True):
            return self._copy(connection, rows)

    def _copy(self, connection: psycopg.Connection, rows: pl.DataFrame) -> list[Refusal]:
        """COPY the rows. Where the server refuses one, it is tried alone, and what follows it in halves."""
        lines, refused, ranges = CsvRows(csv(self.contract, rows)), [], [(0, rows.height)]
        while ranges:
            first, end = ranges.pop()
            error = self._copied(connection, lines.between(first, end)) if first < end else None
            if error is None:
                continue
            if end - first == 1:
                refused.append(Refusal(int(rows[ROW][first]), reason(error)))
                continue
            at = lines.row_of(error, first, end)
            middle = (at + 1 + end) // 2
            ranges += [(first, at), (at, at + 1), (at + 1, middle), (middle, end)]
        return refused

    def _copied(self, connection: psycopg.Connection, text: bytes) -> psycopg.DataError | None:
        try:
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(self._statements.copy) as copy:
                copy.write(text)
        except psycopg.DataError as error:
            return error
        return None

    def commit(self, staged: Staged[StagedRows], expected: Positions) -> Positions:
        """The numbered steps of the module."""
        to = staged.batch.next
        moved = expected.advanced(to)
        try:
            with translated(), self._rewound_where_dropped():
                connection = self._resumed(staged.prepared)
                connection.execute(LIMIT_IDLE)
                positions.lock(connection, self.contract.table, sorted(to), expected)
                self._expect_witnesses(connection)
                self._apply(staged.prepared, to)
                connection.execute(b"COMMIT")
        finally:
            self._give_back()
        return moved

    @contextmanager
    def _rewound_where_dropped(self) -> Iterator[None]:
        try:
            yield
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            raise TargetRewound(f"{self.where}: dropped since this process opened it: {reason(error)}") from error

    def _expect_witnesses(self, connection: psycopg.Connection) -> None:
        if broken := self._witnesses.broken(connection, self.contract.table):
            raise TargetRewound(
                f"{self.where}: {described(broken)}; somebody emptied, restored or changed the table since this "
                "process wrote it; nothing was written"
            )

    def _resumed(self, staged: StagedRows) -> psycopg.Connection:
        """Go on in the transaction that `stage` began."""
        if staged is not self._staged:
            raise self.outdated()
        if staged.connection.info.transaction_status != TransactionStatus.INTRANS:
            raise ServerTrouble(SERVER, "the staged batch is gone with its transaction")
        return staged.connection

    def _apply(self, staged: StagedRows, to: dict[int, int]) -> None:
        """Bring the staged rows into the table, and move the positions with witnesses of them."""
        connection, table = staged.connection, self.contract.table
        witnesses = self._witnesses.last_changes(staged.rows) if staged.rows.height else {}
        kinds = {kind for found in witnesses.values() for kind in found}
        if "present" in kinds:
            connection.execute(self._statements.upsert)
        if "absent" in kinds:
            connection.execute(self._statements.delete)
        positions.move(connection, table, to, witnesses)
        if deleted := [partition for partition, found in witnesses.items() if "present" not in found]:
            self._witnesses.forget_deleted(connection, table, deleted)

    def dependents(self) -> Sequence[str]:
        """The marts' views that read the table."""
        with self._lent() as connection, transaction(connection):
            return [view.name for view in views_over(connection, [table_name(self.contract)])]

    def drop(self) -> None:
        """Drop the table with the marts' views that read it, and forget its positions, in one transaction."""
        self._give_back()
        with self._lent() as connection, transaction(connection):
            connection.execute(ALONE)
            positions.create_table(connection)
            take_down(connection, views_over(connection, [table_name(self.contract)]))
            connection.execute(f"DROP TABLE IF EXISTS {table_name(self.contract)}".encode())
            connection.execute(positions.FORGET, (self.contract.table,))

    def close(self) -> None:
        """Let go of connections; what was staged goes with its transaction."""
        self._give_back()
        self._pool.leave(self)

    @contextmanager
    def _lent(self) -> Iterator[psycopg.Connection]:
        connection = self._pool.take()
        try:
            yield connection
        finally:
            self._pool.give_back(connection)

    @contextmanager
    def _given_back_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._give_back()
            raise

    def _begin(self) -> psycopg.Connection:
        """A new transaction with an empty table to stage in; what was staged before is gone."""
        self._give_back()
        self._connection = connection = self._pool.take()
        connection.execute(BEGIN + local_settings(connection) + self._statements.create_stage)
        return connection

    def _give_back(self) -> None:
        """End a transaction that did not commit. The connection may be broken, and then the server ends it."""
        connection, self._connection, self._staged = self._connection, None, None
        if connection is None:
            return
        if connection.info.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
            with suppress(psycopg.Error):
                connection.execute(b"ROLLBACK")
        self._pool.give_back(connection)
