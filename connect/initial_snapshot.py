"""Rows that were there before a table was captured have no change in the WAL: have them read, once per table.

A row of the signal table remembers each table, so an apply that was cut short is made good by the next one, and a
contract that comes later is read without the others. To forget is harmless, the tables are only read again; to
remember without the slot that goes with it would lose changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import psycopg
from psycopg import sql

from connect.capture import HOW_TO_MIGRATE, Check, on_signals, own_slot, signal, signal_snapshot, signalling
from connect.postgres import slot_name
from olist.clients.shop import HEARTBEAT, PUBLICATION, SIGNAL, connect, split_prefix
from olist.contracts import Contract
from olist.errors import BadInput, ServerTrouble, Stopped
from olist.settings import Settings
from olist.stack.slots import database_is_there

LOOK_EVERY_S = 0.2
WHO_PUBLISHES = f"its owner has to list every captured table in the publication {PUBLICATION}"
WITHIN_S = 60.0
MARKS = "select id from {signals} where id = any(%s)"
FORGET = "delete from {signals} where id = %s or starts_with(id, %s)"
# What was once one mark for all tables stands for those that were captured, which the publication still lists.
CARRY_OVER = """
with old as (delete from {signals} where id = %s returning id)
insert into {signals} (id, type, data)
select old.id || '-' || tablename, 'log', '{{"message": "was captured before"}}'
from old, pg_publication_tables where pubname = %s and schemaname = current_schema()
on conflict (id) do nothing
"""
FOR_ALL_TABLES = "select puballtables from pg_publication where pubname = %s"
ALL_PUBLISHED = "select schemaname, tablename from pg_publication_tables where pubname = %s"
PUBLISHED = "select tablename from pg_publication_tables where pubname = %s and schemaname = current_schema()"
WRITERS = """
select virtualtransaction from pg_locks join pg_class on pg_class.oid = relation
where locktype = 'relation' and mode = 'RowExclusiveLock' and granted
  and database = (select oid from pg_database where datname = current_database())
  and relname = any(%s) and relnamespace = current_schema()::regnamespace
"""


def snapshot_once(settings: Settings, contracts: Iterable[Contract], check: Check) -> list[Contract]:
    """Ask for a snapshot of the tables that hold rows and had none with this slot; return them.

    1. Wait until the publication lists them: from then on their changes are in the stream. 2. Wait for the transactions
    that wrote to them before: those changes are not, and a snapshot sees them only when they have ended. 3. Signal and
    remember, in one commit. `check` raises if the connector failed.

    Raises:
        ServerTrouble: the publication, or a transaction, takes too long.
        Stopped: a table is not there.
    """
    contracts = list(contracts)
    with signalling(settings) as connection:
        known = _known(connection, settings, contracts)
    new = [contract for contract in contracts if mark(settings, contract) not in known]
    if not new:
        return []
    with connect(settings) as connection:
        _until_published(connection, new, check)
        _until_earlier_writers_end(connection, new, check)
        filled = [contract for contract in new if _holds_rows(connection, contract)]
    with signalling(settings) as connection, connection.transaction():
        if filled:
            signal_snapshot(connection, settings, filled)
        for contract in new:
            signal(connection, mark(settings, contract), "log", {"message": "its rows are read from the beginning"})
    return filled


def prepare_source(settings: Settings, contracts: Iterable[Contract]) -> bool:
    """True if the replication slot is missing, so that an initial snapshot of every table is due.

    1. Without the slot, whoever dropped it, the snapshots of earlier tables are forgotten; with it they count.
    2. The publication is made to list what is captured.

    Raises:
        Stopped: the shop has no signal table, or not all of its tables.
        BadInput: this user may not change the publication.
    """
    is_new = own_slot(settings) is None
    if is_new:
        forget_snapshots(settings)
    with signalling(settings) as connection:
        connection.execute(on_signals(CARRY_OVER), [_all_marks(settings), PUBLICATION])
    with connect(settings) as connection:
        try:
            _publish(connection, settings, contracts)
        except psycopg.errors.InsufficientPrivilege as error:
            raise BadInput(f"the shop's database: {str(error).strip()}", hint=WHO_PUBLISHES) from error
    return is_new


def _publish(connection: psycopg.Connection, settings: Settings, contracts: Iterable[Contract]) -> None:
    """Debezium makes a publication that is missing, but the ALTER with which it would change one is no valid SQL.

    One for all tables is left alone.
    """
    if connection.execute(FOR_ALL_TABLES, [PUBLICATION]).fetchone() != (False,):
        return
    _name, schema = split_prefix(settings.topic_prefix)
    wanted = [(schema, table) for table in (*(contract.table for contract in contracts), HEARTBEAT, SIGNAL)]
    if set(wanted) != set(connection.execute(ALL_PUBLISHED, [PUBLICATION])):
        tables = sql.SQL(", ").join(sql.Identifier(*table) for table in wanted)
        connection.execute(sql.SQL("alter publication {} set table {}").format(sql.Identifier(PUBLICATION), tables))


def forget_snapshots(settings: Settings) -> None:
    """Forget which tables had a snapshot, before their slot is dropped: an interruption in between costs a repeated
    snapshot and no change.

    There is nothing to forget where the shop's database, or its signal table, is gone.
    """
    if not database_is_there(settings):
        return
    with signalling(settings) as connection:
        if connection.execute("select to_regclass(%s)", [SIGNAL]).fetchone() != (None,):
            connection.execute(on_signals(FORGET), [_all_marks(settings), f"{_all_marks(settings)}-"])


def mark(settings: Settings, contract: Contract) -> str:
    """The id of the row that remembers a table. A slot's name holds no ``-``, so no slot's marks are another's."""
    return f"{_all_marks(settings)}-{contract.table}"


def _all_marks(settings: Settings) -> str:
    return f"first-of-{slot_name(settings)}"


def _known(connection: psycopg.Connection, settings: Settings, contracts: list[Contract]) -> set[str]:
    wanted = [mark(settings, contract) for contract in contracts]
    return {name for (name,) in connection.execute(on_signals(MARKS), [wanted])}


def filled_tables(settings: Settings, contracts: Iterable[Contract]) -> list[Contract]:
    """The tables that hold rows.

    Raises:
        Stopped: one is not there.
    """
    with connect(settings) as connection:
        return [contract for contract in contracts if _holds_rows(connection, contract)]


def _holds_rows(connection: psycopg.Connection, contract: Contract) -> bool:
    try:
        query = sql.SQL("select from {} limit 1").format(sql.Identifier(contract.table))
        return connection.execute(query).rowcount > 0
    except psycopg.errors.UndefinedTable as error:
        raise Stopped(f"the shop's database has no table {contract.table}", hint=HOW_TO_MIGRATE) from error


def _until_published(connection: psycopg.Connection, contracts: list[Contract], check: Check) -> None:
    wanted, deadline = {contract.table for contract in contracts}, time.monotonic() + WITHIN_S
    while missing := wanted - {table for (table,) in connection.execute(PUBLISHED, [PUBLICATION])}:
        check()
        _raise_if_late(deadline, f"the publication {PUBLICATION} does not list {', '.join(sorted(missing))}")
        time.sleep(LOOK_EVERY_S)


def _until_earlier_writers_end(connection: psycopg.Connection, contracts: list[Contract], check: Check) -> None:
    tables, deadline = [contract.table for contract in contracts], time.monotonic() + WITHIN_S
    earlier = set(connection.execute(WRITERS, [tables]))
    while earlier := earlier & set(connection.execute(WRITERS, [tables])):
        check()
        _raise_if_late(deadline, f"{len(earlier)} transactions that wrote to {', '.join(tables)} are still open")
        time.sleep(LOOK_EVERY_S)


def _raise_if_late(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise ServerTrouble("shop", f"{what} after {WITHIN_S:g} s", hint="`olist connect apply` goes on from there")
