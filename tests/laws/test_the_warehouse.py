"""What only the warehouse promises, beside the laws: what the server refuses, and what others did to the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import psycopg
import pytest

from olist.batches import COMMITTED_AT, decode_batch
from olist.contracts import Contract
from olist.errors import ContractRefused, ServerTrouble, Stopped
from olist.stack.local import Stack
from sinks.postgres.schema import table_name
from sinks.postgres.table import PostgresTable
from tests.laws.parcels import PARTITIONS, fresh, parcel, topic_of, upserts
from tests.laws.targets import start_of, write
from tests.laws.test_contract_changes import Note, WiderNote


@pytest.fixture
def someone(stack: Stack) -> Iterator[psycopg.Connection]:
    """Another user of the database."""
    with psycopg.connect(stack.settings.postgres_url, autocommit=True) as connection:
        yield connection


def run(connection: psycopg.Connection, statement: str) -> list[tuple[object, ...]]:
    cursor = connection.execute(statement.encode())
    return cursor.fetchall() if cursor.description else []


def test_rows_that_only_the_server_refuses_are_found_among_the_others(
    table: PostgresTable, someone: psycopg.Connection
) -> None:
    """No decoded row is such a row, so the frame is made to hold what no contract allows: a year beyond 9999."""
    records = upserts(table.contract, [parcel(f"p{n}") for n in range(100)])
    batch = decode_batch(table.contract, topic_of(table.contract), records, PARTITIONS)
    late = pl.when(pl.int_range(pl.len()).is_in([3, 77])).then(pl.lit("50000y")).otherwise(pl.lit("0y"))
    batch = replace(batch, frame=batch.frame.with_columns(pl.col(COMMITTED_AT).dt.offset_by(late)))
    staged = table.stage(batch)
    assert [refusal.row for refusal in staged.refused] == [3, 77]
    assert all(refusal.reason.startswith("_committed_at: ") for refusal in staged.refused)
    table.commit(staged, start_of(table.contract))
    assert run(someone, f"SELECT count(*) FROM {table_name(table.contract)}") == [(98,)]


def test_a_constraint_that_somebody_added_stops_the_sink_with_its_name(
    table: PostgresTable, someone: psycopg.Connection
) -> None:
    run(someone, f"ALTER TABLE {table_name(table.contract)} ADD CONSTRAINT light CHECK (weight_g < 50)")
    with pytest.raises(Stopped, match='check constraint "light"'):
        write(table, upserts(table.contract, [parcel(weight_g=100)]))
    assert table.open() is None
    write(table, upserts(table.contract, [parcel(weight_g=10)]))


def test_a_view_in_the_way_of_a_wider_column_is_named(stack: Stack, someone: psycopg.Connection) -> None:
    contract = fresh(Contract("notes", Note, key=("note_id",)))
    table = PostgresTable(contract, stack.settings.postgres_url)
    table.open()
    view = f"warehouse.view_of_{contract.table}"
    run(someone, f"CREATE VIEW {view} AS SELECT likes FROM {table_name(contract)}")
    wider = PostgresTable(replace(contract, row=WiderNote), stack.settings.postgres_url)
    with pytest.raises(Stopped, match="used by a view") as stopped:
        wider.open()
    assert contract.table in stopped.value.hint
    run(someone, f"DROP VIEW {view}")
    wider.open()
    for one in (wider, table):
        one.drop()
        one.close()


def test_a_table_of_another_make_is_left_alone(stack: Stack, someone: psycopg.Connection) -> None:
    contract = fresh()
    run(someone, f"CREATE TABLE {table_name(contract)} (parcel_id text)")
    table = PostgresTable(contract, stack.settings.postgres_url)
    with pytest.raises(ContractRefused, match="another make"):
        table.open()
    run(someone, f"DROP TABLE {table_name(contract)}")
    table.close()


def test_a_session_that_the_server_ended_is_trouble(table: PostgresTable, someone: psycopg.Connection) -> None:
    held = write(table, upserts(table.contract, [parcel()]))
    records = upserts(table.contract, [parcel(weight_g=2)], first_offset=1)
    batch = decode_batch(table.contract, topic_of(table.contract), records, PARTITIONS)
    staged = table.stage(batch)
    ours = "application_name = 'olist sink' AND usename = current_user"  # other tests' roles have sessions too
    run(someone, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    with pytest.raises(ServerTrouble):
        table.commit(staged, held)
    assert table.open() == held
    write(table, records, held)


def test_a_table_that_somebody_dropped_is_read_from_the_beginning(
    table: PostgresTable, someone: psycopg.Connection
) -> None:
    write(table, upserts(table.contract, [parcel()]))
    run(someone, f"DROP TABLE {table_name(table.contract)}")
    assert table.open() is None


def test_no_server_is_trouble_that_names_it() -> None:
    table = PostgresTable(fresh(), "postgresql://olist@127.0.0.1:1/olist")
    with pytest.raises(ServerTrouble, match=r"^postgres: "):
        table.open()
    table.close()
