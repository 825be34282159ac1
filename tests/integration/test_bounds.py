"""PyIceberg, DuckDB and Spark find by a filter what they find without one, whatever texts the files hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyiceberg.expressions import EqualTo
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.table import Table

from olist.batches import OFFSET, PARTITION
from olist.lake.catalog import CATALOG, identifier
from olist.lake.files import FileWriter
from olist.lake.row_delta import OneCommit, RowDelta
from olist.lake.schema import WHOLE
from olist.settings import Settings
from tests.duckdb_lake import duckdb_with_iceberg
from tests.lakes import WHOLE_NOTES, Lake, local_settings
from tests.spark import Spark, spark

pytestmark = pytest.mark.integration

RowGroups = Sequence[Sequence[str]]
texts = st.builds(
    lambda beginning, times: (beginning * times)[:10_000],
    st.text(min_size=1, max_size=20),
    st.sampled_from([1, 1, 1, 2, 17, 10_000]),
)
files = st.lists(st.lists(st.lists(texts, min_size=1, max_size=2), min_size=1, max_size=3), min_size=4, max_size=4)
NASTY: list[RowGroups] = [
    [["a"], ["b" * 5000], ["c"]],
    [["x" * 15 + "\ud7ff" + "y"]],
    [["\U0010ffff" * 17, "m"]],
    [["y" * 15 + "\uffff" + "z", "y" * 15 + "\U00010000" + "z"]],
    [["", "\0", "z" * 16, "z" * 17]],
]
tables = count()


@dataclass(frozen=True)
class Engines:
    """Each counts the rows that hold a text, by a filter on it alone."""

    duckdb: duckdb.DuckDBPyConnection
    spark: Spark

    def found(self, table: Table, words: Sequence[str]) -> dict[str, list[int]]:
        return {
            "pyiceberg": [table.scan(row_filter=EqualTo(term="words", value=word)).count() for word in words],
            "duckdb": self._by_duckdb(table, words),
            "spark": self._by_spark(table, words),
        }

    def _by_duckdb(self, table: Table, words: Sequence[str]) -> list[int]:
        source = f"iceberg_scan('{table.metadata_location.removeprefix('file://')}')"
        as_blob = ["".join(f"\\x{byte:02X}" for byte in word.encode()) for word in words]
        counted = [f"SELECT count(*) FROM {source} WHERE words = decode('{blob}'::BLOB)" for blob in as_blob]
        return [self.duckdb.execute(sql).fetchall()[0][0] for sql in counted]

    def _by_spark(self, table: Table, words: Sequence[str]) -> list[int]:
        source = ".".join((CATALOG, *table.name()))
        counted = [
            f"SELECT {n}, count(*) FROM {source} WHERE words = CAST(X'{word.encode().hex()}' AS STRING)"
            for n, word in enumerate(words)
        ]
        return [rows for _n, rows in sorted(self.spark.rows(" UNION ALL ".join(counted)))]


@pytest.fixture(scope="module")
def lake_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return local_settings(tmp_path_factory.mktemp("lake"))


@pytest.fixture(scope="module")
def engines(lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    with ExitStack() as stack:
        connection = stack.enter_context(duckdb_with_iceberg())
        yield Engines(connection, stack.enter_context(spark(lake_settings, tmp_path_factory.mktemp("spark"))))


def written(lake: Lake, contents: Sequence[RowGroups]) -> Table:
    """The lake's table with a data file for each of `contents`, in the row groups that it says."""
    table = lake.writer().table
    writing, made = FileWriter.of(table), []
    for groups in contents:
        file = writing.open_data_file(WHOLE)
        for words in groups:
            columns = {"note_id": 1, "place": "p", "value": 1, PARTITION: 0, OFFSET: 0}
            frame = pl.DataFrame({"words": words}).with_columns(pl.lit(value).alias(n) for n, value in columns.items())
            names = table.schema().column_names
            frame = frame.with_columns(pl.lit(None).alias(name) for name in names if name not in frame.columns)
            frame = frame.with_columns(pl.lit(0).cast(pl.Datetime("us")).alias("seen_at")).select(names)
            rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            file.write(rows.cast(schema_to_pyarrow(table.schema(), include_field_ids=True)))
        made.append(file.close())
    transaction = OneCommit(table)
    RowDelta(transaction, made, [], {}).commit()
    return transaction.commit_transaction()


@settings(max_examples=2, suppress_health_check=list(HealthCheck))
@given(files)
@example(NASTY)
def test_three_engines_find_every_text_by_a_filter(
    lake_settings: Settings, engines: Engines, contents: list[RowGroups]
) -> None:
    lake = Lake(lake_settings, replace(WHOLE_NOTES, table=f"texts_{next(tables)}"))
    table = written(lake, contents)
    rows = Counter(word for groups in contents for words in groups for word in words)
    expected = {name: [*rows.values()] for name in ("pyiceberg", "duckdb", "spark")}
    assert engines.found(table, list(rows)) == expected
    lake.properties(min_input_files="2")
    assert lake.compact().after.data_files == 1
    compacted = lake.catalog.load_table(identifier(lake.contract.table))
    assert engines.found(compacted, list(rows)) == expected
