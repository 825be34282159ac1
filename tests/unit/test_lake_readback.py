"""The lake's reader on a warehouse of this disk: rows, positions, and what the manifests claim of the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from pyiceberg.conversions import to_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import LongType

from olist.batches import OP, decode_batch
from olist.contracts import Contract
from olist.errors import ServerTrouble, Stopped
from olist.lake.catalog import identifier, open_catalog
from olist.positions import Positions
from olist.settings import Settings
from sinks.base import factory
from sinks.iceberg.file_claims import FileClaims
from sinks.readback import check_shape, read, read_positions
from tests.laws.parcels import PARCELS, PARTITIONS, parcel, topic_of, upserts
from tests.laws.targets import start_of

CONTRACT = replace(PARCELS, partition_by=None)
FIRST_US, DAY_US = 1_500_000_000_000_000, 86_400_000_000


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """An empty lake."""
    return Settings(warehouse=f"file://{tmp_path}/lake", catalog=f"sqlite:///{tmp_path}/catalog.db")


def fill(lake: Settings, contract: Contract = CONTRACT) -> None:
    table = factory("iceberg")(contract, lake)
    table.open()
    table.assign(frozenset(range(4)))
    rows = [
        parcel(f"p{i:02}", weight_g=i, sent_at=FIRST_US + i * DAY_US, note="ö" * 40 if i % 2 else None)
        for i in range(20)
    ]
    batch = decode_batch(contract, topic_of(contract), upserts(contract, rows), PARTITIONS)
    table.commit(table.stage(batch), start_of(contract))
    table.close()


def rows_of(lake: Settings, contract: Contract = CONTRACT) -> tuple[pl.DataFrame, Positions | None, list[str]]:
    with read("iceberg", contract, lake) as reading:
        assert reading is not None
        rows = pl.concat(reading.chunks)
        return rows, reading.positions, reading.defects.shown


def test_a_table_that_is_not_there_is_none_and_is_not_made(lake: Settings) -> None:
    with read("iceberg", CONTRACT, lake) as reading:
        assert reading is None
    assert read_positions("iceberg", CONTRACT, lake) is None


def test_rows_and_positions_are_those_of_the_commit(lake: Settings) -> None:
    fill(lake)
    rows, positions, defects = rows_of(lake)
    assert rows.height == 20
    assert OP not in rows.columns
    assert positions == read_positions("iceberg", CONTRACT, lake)
    assert positions is not None
    assert max(positions.next.values()) == 20
    assert not defects


def test_a_data_file_that_is_gone_stops_the_reading_and_is_named(lake: Settings, tmp_path: Path) -> None:
    fill(lake)
    (file, *_) = (tmp_path / "lake").rglob("data/*.parquet")
    file.unlink()
    with pytest.raises(Stopped, match=file.name):
        rows_of(lake)


def test_a_column_that_the_table_lacks_is_named(lake: Settings) -> None:
    fill(lake)
    with open_catalog(lake).load_table(identifier(CONTRACT.table)).update_schema() as update:
        update.delete_column("note")
    rows, _positions, _defects = rows_of(lake)
    with pytest.raises(Stopped, match="it lacks note"):
        check_shape("iceberg", CONTRACT, rows.schema)


def test_a_catalog_that_does_not_answer_is_trouble(lake: Settings) -> None:
    away = lake.model_copy(update={"catalog": "postgresql+psycopg://olist@127.0.0.1:1/olist"})
    with pytest.raises(ServerTrouble):
        rows_of(away)


def opened(lake: Settings, contract: Contract) -> tuple[Table, DataFile]:
    table = open_catalog(lake).load_table(identifier(contract.table))
    (task, *_) = table.scan().plan_files()
    return table, task.file


def claimed(table: Table, file: DataFile) -> list[str]:
    """What is untrue of a file whose rows are those of the whole table."""
    claims = FileClaims(table, file)
    claims.see(pl.DataFrame(pl.from_arrow(table.scan().to_arrow())))
    return list(claims.problems())


LAKE_PARTITION, RECORD_COUNT, NULLS, LOWER, UPPER = 3, 4, 8, 10, 11  # where a data file has its claims
WRONG = [
    (LOWER, "weight_g", to_bytes(LongType(), 1), "weight_g begins at 1, it has 0"),
    (UPPER, "weight_g", to_bytes(LongType(), 18), "weight_g ends at 18, it has 19"),
    (UPPER, "note", b"a", "note ends at 'a', it has 'öö"),
    (UPPER, "sent_at", to_bytes(LongType(), 0), "sent_at ends at datetime.datetime(1970, 1, 1, 0, 0)"),
    (NULLS, "note", 9, "9 nulls in note, it has 10"),
]


def test_what_the_sink_claims_of_its_files_is_true_and_any_other_claim_is_named(lake: Settings) -> None:
    fill(lake)
    table, file = opened(lake, CONTRACT)
    assert claimed(table, file) == []
    for claim, column, value, said in WRONG:
        _table, damaged = opened(lake, CONTRACT)
        damaged[claim] = dict(damaged[claim]) | {table.schema().find_field(column).field_id: value}
        (problem,) = claimed(table, damaged)
        assert said in problem
    file[RECORD_COUNT] = 19
    assert "says 19 rows, it has 20" in claimed(table, file)[0]


def test_a_file_in_the_wrong_lake_partition_is_named(lake: Settings) -> None:
    fill(lake, PARCELS)
    _rows, _positions, defects = rows_of(lake, PARCELS)
    assert not defects
    table, file = opened(lake, PARCELS)
    file[LAKE_PARTITION] = Record(7)
    assert any("sent_at_month=7" in problem for problem in claimed(table, file))
