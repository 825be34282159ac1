"""Servers as others set them up: what they refuse ends at once in their words, and their settings change no value."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import polars as pl
import psycopg
import pytest

from olist.errors import ServerTrouble, Stopped
from olist.settings import Settings
from olist.stack.local import Stack
from sinks.iceberg.table import IcebergTable
from sinks.postgres.connection import connect
from sinks.postgres.current_rows import read
from sinks.postgres.table import PostgresTable
from tests.laws.parcels import Item, delete, fresh, parcel, upserts
from tests.laws.targets import write

ODD = {
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "timezone": "Asia/Kathmandu",
    "client_encoding": "LATIN1",
    "search_path": "nowhere",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "row_security": "on",
    "xmloption": "document",
}


def administrator(stack: Stack) -> str:
    return f"postgresql://postgres@127.0.0.1:{stack.settings.postgres_port}/postgres"


@pytest.fixture
def odd(stack: Stack) -> Iterator[Settings]:
    """A database whose every setting is another than usual."""
    with psycopg.connect(administrator(stack), autocommit=True) as connection:
        connection.execute(b"CREATE DATABASE odd OWNER olist")
        for name, value in ODD.items():
            connection.execute(f"ALTER DATABASE odd SET {name} = '{value}'".encode())
        yield stack.settings.model_copy(update={"postgres": f"{stack.settings.postgres_url.removesuffix('olist')}odd"})
        connection.execute(b"DROP DATABASE odd WITH (FORCE)")


def test_no_setting_of_a_database_changes_what_is_written_or_read(odd: Settings) -> None:
    contract = fresh()
    rows = [parcel(f"p{n}", latitude=n / 3, note="ação 😀", items=[Item("a", n, weight_g=0.1)]) for n in range(9)]
    table = PostgresTable(contract, odd.postgres_url)
    assert table.open() is None
    held = write(table, upserts(contract, rows))
    held = write(table, [delete(contract, ("p8", 1), 20)], held)
    assert table.open() == held
    table.close()
    with read(contract, odd) as reading:
        assert reading is not None
        assert reading.positions == held
        found = pl.concat(reading.chunks).sort("parcel_id")
    assert found["latitude"].to_list() == [n / 3 for n in range(8)]
    assert found["note"].to_list() == ["ação 😀"] * 8
    assert found["sent_at"].dt.epoch("us").to_list() == [1_500_000_000_000_000] * 8


@pytest.mark.parametrize("change", [("//olist@", "//nobody@"), ("/olist", "/nowhere")], ids=["role", "database"])
def test_a_role_or_database_that_is_not_there_ends_the_sink_at_once(stack: Stack, change: tuple[str, str]) -> None:
    before, after = change
    url = after.join(stack.settings.postgres_url.rsplit(before, 1))
    with pytest.raises(Stopped, match="does not exist"):
        PostgresTable(fresh(), url).open()
    lake = IcebergTable(fresh(), stack.settings.model_copy(update={"postgres": url}))
    with pytest.raises(Stopped, match=r"lake catalog: .*does not exist"):
        lake.open()


def test_a_right_that_is_missing_ends_the_sink_at_once(stack: Stack) -> None:
    with psycopg.connect(administrator(stack), autocommit=True) as connection:
        connection.execute(b"CREATE ROLE reader LOGIN")
        with pytest.raises(Stopped, match="permission denied"):
            PostgresTable(fresh(), stack.settings.postgres_url.replace("olist@", "reader@")).open()
        connection.execute(b"DROP ROLE reader")


@pytest.mark.parametrize(
    "update",
    [{"s3_secret_key": "wrong"}, {"s3_access_key": "nobody"}],
    ids=["secret", "key"],
)
def test_a_key_that_storage_refuses_ends_the_sink_at_once(stack: Stack, update: dict[str, str]) -> None:
    settings = Settings(**{**stack.settings.model_dump(), **update})
    table = IcebergTable(fresh(), settings)
    with pytest.raises(Stopped, match="lake storage") as stopped:
        table.open()
    assert "OLIST_S3" in stopped.value.hint


def test_a_server_that_is_away_is_waited_for() -> None:
    with pytest.raises(ServerTrouble):
        connect("postgresql://olist@127.0.0.1:1/olist")


def test_many_tables_share_the_connections_of_a_process(stack: Stack) -> None:
    tables = [PostgresTable(fresh(), stack.settings.postgres_url) for _ in range(8)]
    with psycopg.connect(stack.settings.postgres_url) as connection:
        before = sessions(connection)
        for table in tables:
            table.open()
            write(table, upserts(table.contract, [parcel()]))
        assert sessions(connection) <= before + 1
        for table in tables:
            table.drop()
            table.close()


def sessions(connection: psycopg.Connection) -> int:
    found = connection.execute(
        b"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'olist sink'"
    ).fetchone()
    assert found is not None
    return int(found[0])


ALLOWED = {"user", "database", "client_encoding", "application_name"}


def test_a_pooler_that_takes_no_options_at_the_start_of_a_session_may_stand_between(stack: Stack) -> None:
    """PgBouncer refuses every start-up parameter that it does not track."""
    asked: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        Thread(target=pooler, args=(door, stack.settings.postgres_port, asked), daemon=True).start()
        url = stack.settings.postgres_url.replace(str(stack.settings.postgres_port), str(door.getsockname()[1]))
        connect(f"{url}?sslmode=disable&gssencmode=disable").close()
    assert set(asked) <= ALLOWED
    assert "user" in asked


def pooler(door: socket.socket, port: int, asked: list[str]) -> None:
    """Pass one session on, keeping the names of the parameters that it begins with."""
    client, _ = door.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        length = client.recv(4, socket.MSG_WAITALL)
        packet = client.recv(int.from_bytes(length) - 4, socket.MSG_WAITALL)
        asked += packet[4:].decode().split("\0")[:-2:2]
        server.sendall(length + packet)
        back = Thread(target=forward, args=(server, client), daemon=True)
        back.start()
        forward(client, server)


def forward(source: socket.socket, to: socket.socket) -> None:
    while some := source.recv(65536):
        to.sendall(some)
