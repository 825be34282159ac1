"""PyIceberg, DuckDB and Spark read the same rows: with deletes present, and after a compaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import polars as pl
import pytest

from compaction.report import Report
from olist.batches import OP, frame_schema
from olist.contracts import Contract
from olist.lake.catalog import CATALOG, identifier
from olist.settings import Settings
from tests.duckdb_lake import duckdb_with_iceberg
from tests.lakes import NOTES, WHOLE_NOTES, Lake, local_settings
from tests.spark import Spark, spark

pytestmark = pytest.mark.integration

Rows = list[tuple[Any, ...]]
FAR = 1 << 42  # a clock by which every snapshot is old


@dataclass(frozen=True)
class Engines:
    """Each reads all columns of a table, those included that say where a row came from."""

    duckdb: duckdb.DuckDBPyConnection
    spark: Spark

    def read(self, lake: Lake) -> dict[str, Rows]:
        """The rows by engine, in order of their key; equal values are equal Python objects."""
        readers = {"pyiceberg": by_pyiceberg, "duckdb": self._by_duckdb, "spark": self._by_spark}
        return {name: sorted(reader(lake)) for name, reader in readers.items()}

    def _by_duckdb(self, lake: Lake) -> Rows:
        metadata = lake.catalog.load_table(identifier(lake.contract.table)).metadata_location.removeprefix("file://")
        return self.duckdb.execute(f"SELECT {', '.join(schema(lake))} FROM iceberg_scan('{metadata}')").fetchall()

    def _by_spark(self, lake: Lake) -> Rows:
        columns = [in_micros(name) if kind == pl.Datetime("us") else name for name, kind in schema(lake).items()]
        table = ".".join((CATALOG, *identifier(lake.contract.table)))
        return as_python(lake, self.spark.rows(f"SELECT {', '.join(columns)} FROM {table}"))


def in_micros(column: str) -> str:
    """Py4J hands out no timestamps."""
    return f"unix_micros(CAST({column} AS TIMESTAMP))"


def schema(lake: Lake) -> dict[str, pl.DataType]:
    return {name: kind for name, kind in frame_schema(lake.contract).items() if name != OP}


def as_python(lake: Lake, rows: list[list[Any]]) -> Rows:
    """Rows whose timestamps are microseconds."""
    return pl.DataFrame(rows, schema=schema(lake), orient="row").rows()


def by_pyiceberg(lake: Lake) -> Rows:
    rows = lake.catalog.load_table(identifier(lake.contract.table)).scan().to_arrow().select(list(schema(lake)))
    return [tuple(row.values()) for row in rows.to_pylist()]


def expected(lake: Lake) -> dict[str, Rows]:
    """What each engine must say: the last change of every key."""
    assert lake.changes.latest.keys() == lake.model.keys()
    rows = [[row[name] for name in schema(lake)] for row in lake.changes.latest.values()]
    return dict.fromkeys(("pyiceberg", "duckdb", "spark"), sorted(as_python(lake, rows)))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return local_settings(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def engines(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    with ExitStack() as stack:
        connection = stack.enter_context(duckdb_with_iceberg())
        yield Engines(connection, stack.enter_context(spark(settings, tmp_path_factory.mktemp("spark"))))


@pytest.mark.parametrize("contract", [NOTES, WHOLE_NOTES], ids=["by month", "unpartitioned"])
def test_three_engines_read_the_same_rows_before_and_after_a_compaction(
    settings: Settings, engines: Engines, contract: Contract
) -> None:
    lake = Lake(settings, contract)
    writer = lake.writer()
    for batch in range(12):
        lake.write(writer, [(key, batch * 1000 + key) for key in range(batch * 30, batch * 30 + 90)])
    lake.write(writer, [(key, None) for key in range(0, 400, 7)])
    assert engines.read(lake) == expected(lake)
    report: Report = lake.compact()
    assert report.before.delete_files > report.after.delete_files == 0
    assert engines.read(lake) == expected(lake)
    lake.write(writer, [(key, 5) for key in range(40)] + [(key, None) for key in range(41, 60)])
    assert engines.read(lake) == expected(lake)
    lake.properties(min_delete_files="1", min_input_files="100", delete_ratio_threshold="1")
    assert lake.compact().after.delete_files > 0, "delete files were merged, the data files are as they were"
    assert engines.read(lake) == expected(lake)


def test_our_expiry_goes_on_after_another_engine_s(settings: Settings, engines: Engines) -> None:
    lake = Lake(settings, replace(WHOLE_NOTES, table="expired_elsewhere"))
    writer = lake.writer()
    for batch in range(12):
        lake.write(writer, [(key, batch) for key in range(batch, batch + 9)])
    with lake.catalog.load_table(identifier(lake.contract.table)).transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": "2"})
    assert lake.compact(lake.job(now_ms=FAR)).expired > 0
    for batch in range(12):
        lake.write(writer, [(key, batch) for key in range(batch, batch + 9)])
    engines.spark.run(
        f"CALL {CATALOG}.system.expire_snapshots(table => '{'.'.join((CATALOG, *identifier(lake.contract.table)))}', "
        "older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 3)"
    )
    report = lake.compact(lake.job(now_ms=FAR))
    assert report.before.snapshots == 3
    assert report.expired > 0
    lake.write(lake.writer(), [(key, 99) for key in range(5)])
    assert lake.compact(lake.job(now_ms=FAR)).expired > 0
    assert engines.read(lake) == expected(lake)
