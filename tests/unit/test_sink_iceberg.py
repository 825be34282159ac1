"""A contract with a history is two lake tables: either may be set back, or built again, without the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from pyiceberg.table import Table

from olist import tables
from olist.contracts import Contract
from olist.errors import PositionRefused, TargetRewound
from olist.lake.ancestry import rollback
from olist.lake.catalog import identifier, open_catalog
from olist.positions import Positions, TopicState, check_topic
from olist.settings import settings as process_settings
from sinks.cli import command
from sinks.iceberg.resolve import resolve
from sinks.iceberg.table import IcebergTable
from tests.lakes import local_settings
from tests.laws.parcels import PARCELS, PARTITIONS, Taken, parcel, topic_of, upserts
from tests.laws.targets import TARGETS, Bench, latest, start_of, write

OlistSink = Callable[..., str]
CONTRACT = replace(PARCELS, history=True)
ALL = frozenset(range(PARTITIONS))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A lake on disk."""
    (iceberg,) = [target for target in TARGETS if target.name == "iceberg"]
    return Bench(iceberg, local_settings(tmp_path))


@pytest.fixture
def records() -> list[Taken]:
    """Every key three times."""
    return list(upserts(CONTRACT, [parcel(f"p{n}", label=str(turn)) for turn in range(3) for n in range(6)]))


@pytest.fixture
def table(bench: Bench, records: list[Taken]) -> Iterator[IcebergTable]:
    """Everything written in three commits."""
    table = opened(bench)
    held = start_of(CONTRACT)
    for begin in (0, 6, 12):
        held = write(table, records[begin : begin + 6], held)
    yield table
    table.close()


@pytest.fixture
def olist_sink(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[OlistSink]:
    """`olist sink` on that lake; what it printed."""
    monkeypatch.setenv("OLIST_WAREHOUSE", bench.settings.warehouse_location)
    monkeypatch.setenv("OLIST_CATALOG", bench.settings.catalog_url)
    monkeypatch.setitem(tables.TABLES, CONTRACT.table, CONTRACT)
    process_settings.cache_clear()

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result
        return result.output

    yield run
    process_settings.cache_clear()


def opened(bench: Bench) -> IcebergTable:
    table = bench.opened(CONTRACT)
    assert isinstance(table, IcebergTable)
    return table


def lake_table(bench: Bench, *, history: bool) -> Table:
    name = f"{CONTRACT.table}_changes" if history else CONTRACT.table
    return open_catalog(bench.settings).load_table(identifier(name))


def set_back(bench: Bench, *, history: bool) -> None:
    """To the first of three commits."""
    there = lake_table(bench, history=history)
    there.manage_snapshots().set_current_snapshot(there.snapshots()[0].snapshot_id).commit()


def history_of(bench: Bench) -> list[tuple[int, int]]:
    rows = lake_table(bench, history=True).scan().to_arrow()
    return sorted((row["_kafka_partition"], row["_kafka_offset"]) for row in rows.to_pylist())


def places(records: list[Taken]) -> list[tuple[int, int]]:
    return sorted((record.partition(), record.offset()) for record in records)


def read_on(table: IcebergTable, records: list[Taken]) -> Positions:
    """Read from where the tables stand, as the runner does after a start."""
    held = table.open() or start_of(CONTRACT)
    table.assign(ALL)
    return write(table, [r for r in records if r.offset() >= held.next[r.partition()]], held)


@pytest.mark.parametrize("history", [False, True], ids=["current rows", "history"])
def test_of_the_pair_one_that_was_set_back_is_resolved_and_read_again_alone(
    bench: Bench, table: IcebergTable, records: list[Taken], *, history: bool
) -> None:
    set_back(bench, history=history)
    with pytest.raises(PositionRefused, match=f"lake table {CONTRACT.table}{'_changes' * history}: .* set main back"):
        table.open()
    (behind,) = [one for one in resolve(CONTRACT, bench.settings, apply=False) if one.committed]
    assert behind.table.endswith("_changes") == history
    with pytest.raises(PositionRefused):
        table.open()
    resolve(CONTRACT, bench.settings, apply=True)
    assert rollback(lake_table(bench, history=history), CONTRACT.table)[1] is None
    read_on(table, records)
    assert bench.rows(CONTRACT) == latest(CONTRACT, records)
    assert history_of(bench) == places(records)


def test_a_live_sink_whose_table_was_set_back_and_resolved_learns_that_it_must_read_again(
    bench: Bench, table: IcebergTable, records: list[Taken]
) -> None:
    held = start_of(CONTRACT).advanced({r.partition(): r.offset() + 1 for r in records})
    set_back(bench, history=False)
    resolve(CONTRACT, bench.settings, apply=True)
    more = list(upserts(CONTRACT, [parcel("p1", label="later")], first_offset=100))
    with pytest.raises(TargetRewound):
        write(table, more, held)
    read_on(table, [*records, *more])
    assert bench.rows(CONTRACT) == latest(CONTRACT, [*records, *more])
    assert history_of(bench) == places([*records, *more])


def test_the_command_resolves_a_table_that_was_set_back_once_it_is_told_to(
    bench: Bench, table: IcebergTable, records: list[Taken], olist_sink: OlistSink
) -> None:
    set_back(bench, history=False)
    told = olist_sink("resolve", "iceberg", "--tables", CONTRACT.table)
    assert f"{CONTRACT.table}: was committed up to " in told
    assert f"{CONTRACT.table}_changes: nothing to resolve" in told
    assert "nothing was changed; --yes does it" in told
    with pytest.raises(PositionRefused):
        table.open()
    told = olist_sink("resolve", "iceberg", "--tables", CONTRACT.table, "--yes")
    assert "now: `olist sink run iceberg`" in told
    read_on(table, records)
    assert bench.rows(CONTRACT) == latest(CONTRACT, records)
    assert history_of(bench) == places(records)
    assert "was committed up to" not in olist_sink("resolve", "iceberg", "--tables", CONTRACT.table)


def test_there_is_nothing_to_resolve_where_nothing_was_set_back(bench: Bench, table: IcebergTable) -> None:
    assert [one.committed for one in resolve(CONTRACT, bench.settings, apply=True)] == [None, None]
    assert table.open() is not None


def test_a_history_survives_a_rebuild_of_the_current_rows_from_a_compacted_topic(
    bench: Bench, table: IcebergTable, records: list[Taken]
) -> None:
    before = history_of(bench)
    table.drop()
    assert table.histories() == [f"{CONTRACT.table}_changes"]
    read_on(table, records[12:])  # the topic holds the last change per key
    assert bench.rows(CONTRACT) == latest(CONTRACT, records)
    assert history_of(bench) == before
    more = list(upserts(CONTRACT, [parcel("p1", label="later")], first_offset=100))
    read_on(table, more)
    assert history_of(bench) == sorted([*before, *places(more)])


def test_the_history_goes_when_that_is_asked_for(bench: Bench, table: IcebergTable, records: list[Taken]) -> None:
    table.drop()
    assert table.drop_histories() == [f"{CONTRACT.table}_changes"]
    assert table.open() is None
    table.assign(ALL)
    write(table, records[12:])
    assert history_of(bench) == places(records[12:])


def test_a_history_of_a_topic_that_was_re_created_is_not_mixed_with_the_new_one(
    bench: Bench, table: IcebergTable
) -> None:
    table.drop()
    table.open()
    now = TopicState(topic_of(CONTRACT), "made again", dict.fromkeys(ALL, 0), dict.fromkeys(ALL, 50))
    (held,) = table.history_positions()
    with pytest.raises(PositionRefused, match="was re-created") as refused:
        check_topic(table.name, held, now)
    assert "--with-history" in refused.value.hint


def contract_without_history() -> Contract:
    return replace(CONTRACT, history=False)


def test_a_table_without_a_history_has_none_to_keep(bench: Bench) -> None:
    table = bench.opened(contract_without_history())
    assert (list(table.histories()), list(table.history_positions()), list(table.drop_histories())) == ([], [], [])
