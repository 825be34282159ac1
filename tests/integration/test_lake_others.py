"""Spark and sinks write one table: updates, merges, inserts, rollbacks and expiries, read back by three engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from pyiceberg.table import Table

from compaction.lease import Lease
from compaction.loop import run_once
from compaction.sweep import orphans
from olist.contracts import Contract
from olist.errors import ContractRefused, PositionRefused, ServerTrouble
from olist.lake.catalog import CATALOG, identifier
from olist.lake.table import LakeTable
from sinks.iceberg.current_rows import read
from sinks.iceberg.resolve import resolve
from tests.duckdb_lake import duckdb_with_iceberg
from tests.lakes import NOTES, WHOLE_NOTES, Lake, local_settings
from tests.spark import Spark, spark
from tests.unit.test_lake_clocks import HOUR_S, set_clock

pytestmark = pytest.mark.integration

FAR = 1 << 42  # a clock by which every snapshot and every file is old


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def session(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    with spark(local_settings(home), tmp_path_factory.mktemp("spark")) as session:
        yield session


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb_with_iceberg() as connection:
        yield connection


def filled(home: Path, contract: Contract, name: str) -> Lake:
    """A table of its own: keys 0 to 9, written three times."""
    lake = Lake(local_settings(home), replace(contract, table=name, history=False))
    writer = lake.writer()
    for value in (3, 6, 9):
        lake.write(writer, [(key, value) for key in range(10)])
    return lake


def sql_name(lake: Lake) -> str:
    return ".".join((CATALOG, *identifier(lake.contract.table)))


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier(lake.contract.table))


def write(lake: Lake, writer: LakeTable, changes: list[tuple[int, int | None]]) -> None:
    """As the sink's runner does: trouble is waited out, the table opened again, the same batch staged again."""
    frame, to = lake.changes.frame(changes)
    held = writer.positions
    assert held is not None
    moved = {p: end for p, end in to.items() if end > held.next[p]}
    try:
        writer.commit(writer.stage(frame), held, moved)
    except ServerTrouble:
        assert writer.open() == held
        writer.assign(frozenset(held.next))
        writer.commit(writer.stage(frame), held, moved)
    lake.learn(changes)


def assert_read_alike(lake: Lake, session: Spark, duck: duckdb.DuckDBPyConnection) -> None:
    """Three engines hold the model, every key once."""
    expected = sorted([key, value] for key, value in lake.model.items())
    assert sorted(session.rows(f"SELECT note_id, value FROM {sql_name(lake)}")) == expected
    metadata = table(lake).metadata_location.removeprefix("file://")
    read = duck.execute(f"SELECT note_id, value FROM iceberg_scan('{metadata}')").fetchall()
    assert sorted(map(list, read)) == expected
    assert lake.held() == lake.model


@pytest.mark.parametrize("contract", [NOTES, WHOLE_NOTES], ids=["by month", "unpartitioned"])
def test_updates_merges_inserts_and_deletes_of_spark_leave_no_key_twice(
    home: Path, session: Spark, duck: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    lake = filled(home, contract, f"spark_{contract.table}")
    writer, name = lake.writer(), sql_name(lake)
    columns = ", ".join(table(lake).schema().column_names)
    with_key = columns.replace("note_id", "77 AS note_id", 1).replace("place", "'p77' AS place", 1)
    made_up = with_key.replace("_kafka_partition", "-1 AS _kafka_partition").replace(
        "_kafka_offset", "CAST(-1 AS BIGINT) AS _kafka_offset"
    )
    session.run(f"UPDATE {name} SET words = NULL WHERE note_id IN (1, 2)")
    write(lake, writer, [(1, 11)])
    session.run(f"INSERT INTO {name} SELECT {made_up} FROM {name} WHERE note_id = 0")
    write(lake, writer, [(77, 12), (2, 12)])
    session.run(
        f"MERGE INTO {name} t USING (SELECT 3 AS note_id) s ON t.note_id = s.note_id "
        "WHEN MATCHED THEN UPDATE SET words = 'redacted'"
    )
    session.run(f"DELETE FROM {name} WHERE note_id = 4")
    write(lake, lake.writer(), [(3, 13), (4, 13), (5, None)])
    assert_read_alike(lake, session, duck)
    lake.properties(min_input_files="2", delete_ratio_threshold="0.1")
    assert lake.compact().commits > 0
    assert_read_alike(lake, session, duck)


def test_a_rollback_by_spark_stops_the_sink_until_it_is_resolved_or_undone(
    home: Path, session: Spark, duck: duckdb.DuckDBPyConnection
) -> None:
    lake = filled(home, WHOLE_NOTES, "rolled_back")
    writer, first = lake.writer(), table(lake).snapshots()[0].snapshot_id
    newest = table(lake).snapshots()[-1].snapshot_id
    session.run(f"CALL {CATALOG}.system.rollback_to_snapshot('olist.olist.rolled_back', {first})")
    with pytest.raises(PositionRefused, match=f"set main back to snapshot {first}") as refused:
        lake.write(writer, [(1, 7)])
    assert f"set main to snapshot {newest} again" in refused.value.hint
    session.run(f"CALL {CATALOG}.system.set_current_snapshot('olist.olist.rolled_back', {newest})")
    assert lake.writer().positions is not None
    session.run(f"CALL {CATALOG}.system.set_current_snapshot('olist.olist.rolled_back', {first})")
    (found,) = resolve(lake.contract, lake.settings, apply=True)
    stands = lake.writer().positions
    assert stands is not None
    assert stands == found.stands
    lake.changes.offsets = dict(stands.next)  # the topic is read again from there
    lake.model = dict.fromkeys(range(10), 3)
    for changes in ([(key, 6) for key in range(10)], [(key, 9) for key in range(10)], [(1, 7)]):
        lake.write(lake.writer(), changes)
    assert_read_alike(lake, session, duck)


def test_an_expiry_by_spark_right_after_its_update_loses_no_positions(
    home: Path, session: Spark, duck: duckdb.DuckDBPyConnection
) -> None:
    lake = filled(home, WHOLE_NOTES, "expired")
    held = lake.writer().positions
    session.run(f"UPDATE {sql_name(lake)} SET words = NULL WHERE note_id = 1")
    session.run(
        f"CALL {CATALOG}.system.expire_snapshots(table => 'olist.olist.expired', "
        "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)"
    )
    assert len(table(lake).snapshots()) == 1
    assert lake.writer().positions == held
    lake.write(lake.writer(), [(1, 11), (12, 11)])
    assert_read_alike(lake, session, duck)


def test_what_spark_makes_of_a_table_is_served_or_refused_by_name(
    home: Path, session: Spark, duck: duckdb.DuckDBPyConnection
) -> None:
    lake = filled(home, WHOLE_NOTES, "altered")
    name, writer = sql_name(lake), lake.writer()
    session.run(f"ALTER TABLE {name} ADD COLUMN stars INT")
    session.run(f"ALTER TABLE {name} WRITE ORDERED BY note_id")
    session.run(f"UPDATE {name} SET stars = 5 WHERE note_id < 5")
    write(lake, writer, [(1, 11), (12, 11)])
    assert_read_alike(lake, session, duck)
    stars = {row[0]: row[1] for row in session.rows(f"SELECT note_id, stars FROM {name}")}
    assert (stars[0], stars[1], stars[12]) == (5, None, None)
    session.run(f"ALTER TABLE {name} ADD PARTITION FIELD bucket(4, note_id)")
    with pytest.raises(ContractRefused, match=r"(?s)partitioned by \(bucket\[4\]\(note_id\)\).*by \(nothing\)"):
        lake.writer()
    session.run(f"ALTER TABLE {name} DROP PARTITION FIELD bucket(4, note_id)")
    lake.write(lake.writer(), [(2, 12)])
    assert_read_alike(lake, session, duck)
    live = lake.writer()
    session.run(f"ALTER TABLE {name} SET TBLPROPERTIES ('format-version'='3')")
    with pytest.raises(ContractRefused, match="format version 3"):
        lake.write(live, [(2, 13)])


def test_deletion_vectors_of_spark_are_refused_by_name_until_the_table_is_rebuilt(
    home: Path, session: Spark, duck: duckdb.DuckDBPyConnection
) -> None:
    lake = filled(home, WHOLE_NOTES, "vectors")
    name, live = sql_name(lake), lake.writer()
    session.run(f"ALTER TABLE {name} SET TBLPROPERTIES ('format-version'='3')")
    session.run(f"DELETE FROM {name} WHERE note_id = 4")
    assert ["PUFFIN"] in session.rows(f"SELECT file_format FROM {name}.delete_files"), "Spark wrote a deletion vector"
    upgraded = table(lake).metadata_location

    def check() -> None:
        with read(lake.contract, lake.settings):
            pass

    asked: list[Callable[[], object]] = [
        lambda: lake.write(live, [(2, 13)]),
        lake.writer,
        check,
        lambda: list(run_once([lake.job()], Lease(lake.catalog, "compactor"))),
        lake.job(now_ms=FAR).expire,
    ]
    for refused in asked:
        with pytest.raises(ContractRefused, match="lake table vectors: it is of Iceberg's format version 3") as raised:
            refused()
        assert "no way back" in raised.value.hint
        assert "`olist sink rebuild iceberg --tables vectors`" in raised.value.hint
    swept = [file.path for file in orphans(table(lake).refresh, lake.settings, 0, FAR).files]
    assert not [path for path in swept if path.endswith(".puffin")]
    assert table(lake).metadata_location == upgraded
    LakeTable(lake.catalog, lake.contract).drop()
    assert_read_alike(filled(home, WHOLE_NOTES, "vectors"), session, duck)


def test_java_reads_a_table_whose_writers_clocks_are_an_hour_apart(
    home: Path, session: Spark, duck: duckdb.DuckDBPyConnection
) -> None:
    lake = filled(home, WHOLE_NOTES, "clocks")
    for turn, ahead_s in enumerate((HOUR_S, 0, -HOUR_S)):
        with pytest.MonkeyPatch.context() as patch:
            set_clock(patch, ahead_s)
            lake.write(lake.writer(), [(key, turn) for key in range(4)])
            lake.properties(min_input_files="2")
            lake.compact()
    assert_read_alike(lake, session, duck)
