"""A history has one row for each change, wherever the batches were cut between a delete and its tombstone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from olist.batches import COMMITTED_AT, OFFSET, OP
from olist.lake.catalog import identifier, open_catalog
from olist.lake.live_rows import live_rows
from olist.settings import Settings
from sinks.iceberg.table import IcebergTable
from tests.lakes import local_settings
from tests.laws.parcels import PARCELS, PARTITIONS, Taken, delete, parcel, tombstone, upsert
from tests.laws.targets import stage, write

CONTRACT = replace(PARCELS, history=True)
Key = tuple[str, int]

# u: upserted; d: deleted by Debezium, an envelope and a tombstone; t: a tombstone alone
steps = st.lists(st.tuples(st.sampled_from("uudt"), st.sampled_from(["a", "b", "c"])), max_size=12)
cuts = st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=6)


def records_of(history: Sequence[tuple[str, str]]) -> tuple[list[Taken], list[int]]:
    """The records, and the offsets of those that are changes."""
    records: list[Taken] = []
    changes: list[int] = []
    live: set[str] = set()
    for op, name in history:
        offset, key = len(records) * 3, (name, 1)
        if op != "t" or name in live:
            changes.append(offset)
        live = live | {name} if op == "u" else live - {name}
        if op == "u":
            records.append(upsert(CONTRACT, parcel(*key), offset))
        elif op == "d":
            records += [delete(CONTRACT, key, offset), tombstone(CONTRACT, key, offset + 1)]
        else:
            records.append(tombstone(CONTRACT, key, offset))
    return records, changes


def opened(settings_: Settings) -> IcebergTable:
    table = IcebergTable(CONTRACT, settings_)
    table.open()
    table.assign(frozenset(range(PARTITIONS)))
    return table


def history_of(settings_: Settings) -> pl.DataFrame:
    catalog = open_catalog(settings_)
    table = catalog.load_table(identifier(f"{CONTRACT.table}_changes"))
    frames = [rows for _file, rows in live_rows(table, [*CONTRACT.key, OP, OFFSET, COMMITTED_AT])]
    catalog.close()
    return pl.concat(frames).sort(OFFSET) if frames else pl.DataFrame({OFFSET: []})


def offsets_of(settings_: Settings) -> list[int]:
    return list(history_of(settings_)[OFFSET])


def carry(table: IcebergTable, settings_: Settings, records: list[Taken], cuts: list[tuple[int, bool]]) -> None:
    """Write records batch by batch; some batches are staged by a process that dies, and written by the next."""
    held, turn = table.open(), 0
    table.assign(frozenset(range(PARTITIONS)))
    while records:
        size, dies = cuts[turn % len(cuts)]
        turn += 1
        if dies:
            stage(table, records[:size])
            table.close()
            table = opened(settings_)
            held = table.open()
            table.assign(frozenset(range(PARTITIONS)))
        held = write(table, records[:size], held)
        records = records[size:]
    table.close()


@settings(max_examples=8, derandomize=True, suppress_health_check=list(HealthCheck))
@given(history=steps, cuts=cuts)
@example(history=[("u", "a"), ("d", "a"), ("t", "a"), ("u", "a"), ("t", "a")], cuts=[(1, True)])
@example(history=[("t", "a"), ("u", "a"), ("d", "a"), ("d", "a")], cuts=[(2, False)])
def test_every_change_is_one_row_of_the_history(history: list[tuple[str, str]], cuts: list[tuple[int, bool]]) -> None:
    records, changes = records_of(history)
    with TemporaryDirectory() as folder:
        settings_ = local_settings(Path(folder))
        carry(opened(settings_), settings_, records, cuts)
        assert offsets_of(settings_) == changes


def test_a_tombstone_alone_has_the_time_that_kafka_has_for_it_or_none(tmp_path: Path) -> None:
    class Unstamped(Taken):
        def timestamp(self) -> tuple[int, int]:
            return 0, -1

    settings_ = local_settings(tmp_path)
    last = tombstone(CONTRACT, ("b", 1), 9)
    unstamped = Unstamped(last.key_bytes, None, last.in_partition, 9)
    table = opened(settings_)
    write(table, [upsert(CONTRACT, parcel(name), at) for at, name in enumerate("ab")])
    write(table, [tombstone(CONTRACT, ("a", 1), 8), unstamped], table.open())
    table.close()
    of_deletes: dict[str, Any] = dict(
        history_of(settings_).filter(pl.col(OP) == "d").select("parcel_id", COMMITTED_AT).rows()
    )
    assert of_deletes == {"a": datetime(2023, 11, 14, 22, 13, 20, 8000), "b": None}


def test_a_history_that_was_dropped_and_is_read_again_has_each_delete_once(tmp_path: Path) -> None:
    history = [("u", "a"), ("d", "a"), ("u", "a"), ("t", "a"), ("u", "b"), ("d", "b"), ("u", "b"), ("t", "b")]
    records, changes = records_of(history)
    settings_ = local_settings(tmp_path)
    carry(opened(settings_), settings_, records, [(3, False)])
    table = opened(settings_)
    table.drop_histories()
    carry(table, settings_, records, [(1, False)])
    assert offsets_of(settings_) == changes
