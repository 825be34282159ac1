"""Laws about tables that somebody removed behind the sink's back: the sink says so, and the rows come back."""

from __future__ import annotations

from typing import Any

import pytest

from olist.contracts import Contract
from olist.errors import TargetRewound
from olist.positions import Positions
from sinks.base import SinkTable
from tests.laws.parcels import PARTITIONS, delete, parcel, upsert, upserts
from tests.laws.targets import Bench, latest, stage, write


def reopened(table: SinkTable[Any]) -> Positions | None:
    """What the runner does with a table that was set back."""
    held = table.open()
    table.assign(frozenset(range(PARTITIONS)))
    return held


def test_a_table_removed_between_two_looks_is_read_from_the_beginning(bench: Bench, parcels: Contract) -> None:
    records = upserts(parcels, [parcel(f"p{n}") for n in range(9)])
    table = bench.opened(parcels)
    write(table, records)
    table.close()
    bench.remove(parcels)
    table = bench.connect(parcels)
    assert reopened(table) is None
    write(table, records)
    assert bench.rows(parcels) == latest(parcels, records)


def test_a_table_removed_under_a_running_sink_is_noticed_and_filled_again(bench: Bench, parcels: Contract) -> None:
    records = [*upserts(parcels, [parcel(f"p{n}") for n in range(9)]), delete(parcels, ("p3", 1), 9)]
    table = bench.opened(parcels)
    held = write(table, records)
    bench.remove(parcels)
    news = [upsert(parcels, parcel("p1", label="news"), 10)]
    with pytest.raises(TargetRewound, match=parcels.table):
        write(table, news, held)
    assert reopened(table) is None
    held = write(table, records)
    write(table, news, held)
    assert bench.rows(parcels) == latest(parcels, [*records, *news])


def test_a_table_removed_between_stage_and_commit_holds_no_position(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    records = upserts(parcels, [parcel(f"p{n}") for n in range(9)])
    held = write(table, records)
    news = [upsert(parcels, parcel("p1", label="news"), 10)]
    late = stage(table, news)
    bench.remove(parcels)
    with pytest.raises(TargetRewound, match=parcels.table):
        late(held)
    assert reopened(table) is None
    write(table, news, write(table, records))
    assert bench.rows(parcels) == latest(parcels, [*records, *news])


def test_a_table_that_another_process_made_again_is_no_zombies_fence(bench: Bench, parcels: Contract) -> None:
    """Two processes with partitions of their own: the first to notice makes the table again, the other follows."""
    records = upserts(parcels, [parcel(f"p{n}") for n in range(40)])
    halves = [[r for r in records if r.partition() in mine] for mine in ({0, 1}, {2, 3})]
    one, two = (bench.opened(parcels, frozenset(mine)) for mine in ({0, 1}, {2, 3}))
    held = write(two, halves[1], write(one, halves[0]))
    bench.remove(parcels)
    assert one.open() is None
    one.assign(frozenset({0, 1}))
    write(one, halves[0])
    mine = next(r for r in upserts(parcels, [parcel(f"n{n}") for n in range(90)], 90) if r.partition() in (2, 3))
    with pytest.raises(TargetRewound):
        write(two, [mine], held)
    again = two.open()
    two.assign(frozenset({2, 3}))
    assert again is not None
    write(two, [*halves[1], mine], again)
    assert bench.rows(parcels) == latest(parcels, [*records, mine])
