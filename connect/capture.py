"""The source's side of capture: its slot, incremental snapshots, and how far the topics have come.

Debezium reads the WAL in order with one task, so a mark that is written into the shop and seen on its topic says that
all that was committed before it is on the topics too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg import sql

from connect.postgres import slot_name
from olist.changes import decode_envelope
from olist.clients.shop import HEARTBEAT, SIGNAL, connect, split_prefix
from olist.contracts import Contract
from olist.errors import BadInput, ServerTrouble, Stopped
from olist.positions import TopicState
from olist.settings import Settings
from olist.stack.slots import Slot, slots
from olist.topics.admin import admin_client, topic_state
from olist.topics.reader import follow

LOOK_EVERY_S = 0.2
SLOT_WITHIN_S = 60.0
WHO_SIGNALS = f"Debezium needs it, too: `grant select, insert, update, delete on {HEARTBEAT}, {SIGNAL} to ...`"
HOW_TO_MIGRATE = "`olist shop migrate` makes the shop's tables"
MARK = (
    "insert into {} (id, token) values ('mark', {}) on conflict (id) do update set token = excluded.token, "
    "beat_at = now()"
)

SNAPSHOT_UNDER_WAY = "incremental_snapshot_"  # as Debezium names what it keeps of one in its offsets

Check = Callable[[], None]
Offsets = Callable[[], list[dict[str, Any]]]


def own_slot(settings: Settings) -> Slot | None:
    """The connector's slot; None while it is not there."""
    return next((slot for slot in slots(settings) if slot.name == slot_name(settings)), None)


def until_streaming(settings: Settings, check: Check) -> None:
    """Wait until the connector holds its slot: from here on no change is missed. `check` raises if it failed.

    Raises:
        ServerTrouble: it does not.
    """
    deadline = time.monotonic() + SLOT_WITHIN_S
    while (slot := own_slot(settings)) is None or not slot.active:
        check()
        if time.monotonic() > deadline:
            waited = f"nobody reads from slot {slot_name(settings)} after {SLOT_WITHIN_S:g} s"
            raise ServerTrouble(
                "connect", waited, hint="what the connector tries again and again is in its worker's log"
            )
        time.sleep(LOOK_EVERY_S)


def refuse_lost_slot(settings: Settings) -> None:
    """Debezium does not fail on a slot whose WAL is gone: it waits for it, for half an hour, without a word.

    Raises:
        Stopped: the slot is lost; changes are, too, so there is no going on without reading the tables again.
    """
    if (slot := own_slot(settings)) is not None and slot.wal_status == "lost":
        raise Stopped(
            f"slot {slot_name(settings)} is lost: it was not read while more WAL was written than PostgreSQL keeps "
            "(max_slot_wal_keep_size), so changes are missing",
            hint="`olist connect delete --drop-slot`, then `olist connect apply` takes a new snapshot of the tables",
        )


def ask_for_snapshot(settings: Settings, contracts: Iterable[Contract]) -> str:
    """Signal an incremental snapshot; its rows come as ``r`` changes between those of the stream. Returns its id.

    Raises:
        Stopped: the shop has no signal table.
    """
    with signalling(settings) as connection:
        return signal_snapshot(connection, settings, contracts)


@contextmanager
def signalling(settings: Settings) -> Iterator[psycopg.Connection]:
    """A connection to signal on.

    Raises:
        Stopped: the shop has no signal table.
        BadInput: this user may not write to it.
    """
    with connect(settings) as connection:
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise BadInput(f"the shop's database: {str(error).strip()}", hint=WHO_SIGNALS) from error
        except psycopg.errors.UndefinedTable as error:
            raise Stopped(f"the shop's database has no table {SIGNAL}", hint=HOW_TO_MIGRATE) from error


def signal_snapshot(connection: psycopg.Connection, settings: Settings, contracts: Iterable[Contract]) -> str:
    """As `ask_for_snapshot`, within a transaction of the caller's."""
    name = str(uuid.uuid4())
    _prefix, schema = split_prefix(settings.topic_prefix)
    tables = [f"{schema}.{contract.table}" for contract in contracts]
    signal(connection, name, "execute-snapshot", {"data-collections": tables, "type": "incremental"})
    return name


def signal(connection: psycopg.Connection, name: str, kind: str, data: dict[str, Any]) -> None:
    """Send Debezium a signal, once: a name that was used before sends none."""
    insert = on_signals("insert into {signals} (id, type, data) values (%s, %s, %s) on conflict (id) do nothing")
    connection.execute(insert, [name, kind, msgspec.json.encode(data).decode()])


def on_signals(statement: LiteralString) -> sql.Composed:
    """A statement about the signal table, ``{signals}`` in it."""
    return sql.SQL(statement).format(signals=sql.Identifier(SIGNAL))


def until_caught_up(settings: Settings, within_s: float, check: Check) -> None:
    """Wait until all that is committed in the shop now is on the topics. `check` raises if the connector failed.

    Twice: Kafka writes a transaction's end to each partition on its own, and that the second mark is there says that
    the transaction of the first one, with all that came before, has ended everywhere.

    Raises:
        ServerTrouble: not within the time.
    """
    deadline = time.monotonic() + within_s
    for _ in range(2):
        _until_marked(settings, deadline, check)


def until_snapshot_done(settings: Settings, within_s: float, check: Check, offsets: Offsets) -> None:
    """As `until_caught_up`, and until no incremental snapshot is under way.

    The first mark follows the signal in the WAL, so by then a snapshot that was asked for has left its trace in the
    connector's offsets, and keeps it there until its last row is on the topics.

    Raises:
        ServerTrouble: not within the time.
    """
    deadline = time.monotonic() + within_s
    until_caught_up(settings, within_s, check)
    while any(key.startswith(SNAPSHOT_UNDER_WAY) for offset in offsets() for key in offset):
        _raise_if_late(deadline, check)
        time.sleep(LOOK_EVERY_S)
    until_caught_up(settings, max(1.0, deadline - time.monotonic()), check)


def _until_marked(settings: Settings, deadline: float, check: Check) -> None:
    topic, token = f"{settings.topic_prefix}.{HEARTBEAT}", str(uuid.uuid4())
    before = _state(settings, topic)
    with connect(settings) as connection:
        connection.execute(sql.SQL(MARK).format(sql.Identifier(HEARTBEAT), sql.Literal(token)))
    while (now := before or _state(settings, topic)) is None:
        _raise_if_late(deadline, check)
        time.sleep(LOOK_EVERY_S)
    start = now.end if before else now.first
    for records in follow(settings, topic, start):
        if any(token == _token(record.value()) for record in records):
            return
        _raise_if_late(deadline, check)


def _raise_if_late(deadline: float, check: Check) -> None:
    check()
    if time.monotonic() > deadline:
        raise ServerTrouble(
            "connect", "the topics have not caught up with the shop in time", hint="`olist connect status`"
        )


def _state(settings: Settings, topic: str) -> TopicState | None:
    try:
        return topic_state(admin_client(settings), topic)
    except Stopped:
        return None


def _token(value: bytes | None) -> object:
    image = None if value is None else decode_envelope(value).after
    return image.get("token") if isinstance(image, dict) else None
