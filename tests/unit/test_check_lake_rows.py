"""The lake's reader on a warehouse of this disk: what it says when something is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from olist.batches import OP, decode_batch
from olist.contracts import Contract
from olist.errors import ServerTrouble, Stopped
from olist.lake.catalog import identifier, open_catalog
from olist.settings import Settings
from sinks.check.held import read_held, read_positions
from sinks.targets import factory
from tests.laws.parcels import PARCELS, PARTITIONS, parcel, topic_of, upserts
from tests.laws.targets import start_of

CONTRACT = replace(PARCELS, partition_by=None)


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """An empty lake."""
    return Settings(warehouse=f"file://{tmp_path}/lake", catalog=f"sqlite:///{tmp_path}/catalog.db")


def fill(lake: Settings, contract: Contract = CONTRACT) -> None:
    table = factory("iceberg")(contract, lake)
    table.open()
    table.own(frozenset(range(4)))
    records = upserts(contract, [parcel(f"p{i}") for i in range(20)])
    batch = decode_batch(contract, topic_of(contract), records, PARTITIONS)
    table.stage(batch)
    table.commit(batch, start_of(contract))
    table.close()


def test_a_table_that_is_not_there_is_none_and_is_not_made(lake: Settings) -> None:
    assert read_held("iceberg", CONTRACT, lake) is None
    assert read_positions("iceberg", CONTRACT, lake) is None


def test_rows_and_positions_are_those_of_the_commit(lake: Settings) -> None:
    fill(lake)
    held = read_held("iceberg", CONTRACT, lake)
    assert held is not None
    assert held.rows.height == 20
    assert OP not in held.rows.columns
    assert held.positions == read_positions("iceberg", CONTRACT, lake)
    assert held.positions is not None
    assert max(held.positions.next.values()) == 20


def test_a_data_file_that_is_gone_stops_the_reading_and_is_named(lake: Settings, tmp_path: Path) -> None:
    fill(lake)
    (file, *_) = (tmp_path / "lake").rglob("data/*.parquet")
    file.unlink()
    with pytest.raises(Stopped, match=file.name):
        read_held("iceberg", CONTRACT, lake)


def test_a_column_that_the_table_lacks_stops_the_reading_and_is_named(lake: Settings) -> None:
    fill(lake)
    with open_catalog(lake).load_table(identifier(CONTRACT.table)).update_schema() as update:
        update.delete_column("note")
    with pytest.raises(Stopped, match="it lacks note"):
        read_held("iceberg", CONTRACT, lake)


def test_a_catalog_that_does_not_answer_is_trouble(lake: Settings) -> None:
    away = lake.model_copy(update={"catalog": "postgresql+psycopg://olist@127.0.0.1:1/olist"})
    with pytest.raises(ServerTrouble):
        read_held("iceberg", CONTRACT, away)
