"""PyIceberg, DuckDB and Spark read the same rows: with deletes present, and after a compaction."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from compaction.report import Report
from olist.lake.catalog import CATALOG, identifier
from tests.duckdb_lake import duckdb_with_iceberg
from tests.lakes import NOTES, Lake, local_settings
from tests.spark import Spark, spark

pytestmark = pytest.mark.integration

Rows = list[tuple[int, int, str]]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Notes in months, updated, deleted and inserted by many commits. Spark knows the catalog by its name."""
    lake = Lake(local_settings(tmp_path_factory.mktemp("lake")), NOTES)
    writer = lake.writer()
    for batch in range(12):
        lake.write(writer, [(key, batch * 1000 + key) for key in range(batch * 30, batch * 30 + 90)])
    lake.write(writer, [(key, None) for key in range(0, 400, 7)])
    return lake


@pytest.fixture(scope="module")
def engine(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    with spark(lake.settings, tmp_path_factory.mktemp("spark")) as engine:
        yield engine


def by_pyiceberg(lake: Lake) -> Rows:
    columns = lake.catalog.load_table(identifier(NOTES.table)).scan().to_arrow().select(["note_id", "value", "words"])
    return sorted((row["note_id"], row["value"], row["words"]) for row in columns.to_pylist())


def by_duckdb(lake: Lake, connection: duckdb.DuckDBPyConnection) -> Rows:
    metadata = lake.catalog.load_table(identifier(NOTES.table)).metadata_location.removeprefix("file://")
    found = connection.execute(f"SELECT note_id, value, words FROM iceberg_scan('{metadata}')").fetchall()
    return sorted((key, value, words) for key, value, words in found)


def by_spark(engine: Spark) -> Rows:
    found = engine.rows(f"SELECT note_id, value, words FROM {CATALOG}.{'.'.join(identifier(NOTES.table))}")
    return sorted((key, value, words) for key, value, words in found)


def test_three_engines_read_the_same_rows_before_and_after_a_compaction(lake: Lake, engine: Spark) -> None:
    model = sorted((key, value, f"word {value}") for key, value in lake.model.items())
    with duckdb_with_iceberg() as connection:
        assert by_pyiceberg(lake) == by_duckdb(lake, connection) == by_spark(engine) == model
        writer = lake.writer()
        report: Report = lake.compact()
        assert report.before.delete_files > report.after.delete_files == 0
        assert by_pyiceberg(lake) == by_duckdb(lake, connection) == by_spark(engine) == model
        lake.write(writer, [(key, 5) for key in range(40)] + [(key, None) for key in range(41, 60)])
        model = sorted((key, value, f"word {value}") for key, value in lake.model.items())
        assert by_pyiceberg(lake) == by_duckdb(lake, connection) == by_spark(engine) == model
        lake.properties(min_delete_files="1", min_input_files="100", delete_ratio_threshold="1")
        assert lake.compact().after.delete_files > 0, "delete files were merged, the data files are as they were"
        assert by_pyiceberg(lake) == by_duckdb(lake, connection) == by_spark(engine) == model
