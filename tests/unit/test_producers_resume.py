"""Where a replay goes on: after any prefix of any partition, each change is sent exactly once; else it refuses."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.errors import Stopped
from olist.positions import TopicState
from olist.source import read
from olist.tables import ORDERS, TABLES
from producers.encoding import CONNECTOR, Origin
from producers.rate import Pace
from producers.resume import NTH, PARTITION, LastRecord, check_last_records, pending, placed
from producers.sequence import SEQ, TABLE, TABLE_NAMES, sequence
from tests.unit.producers_dataset import files, small_shop, write_folder

PARTITIONS = 3
ORIGIN = Origin("0123456789ab.1", "olist.public")


@pytest.fixture(scope="module")
def changes(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    frames = read(write_folder(tmp_path_factory.mktemp("shop"), files(small_shop())))
    return placed(frames, sequence(frames), PARTITIONS)


def states(ends: dict[tuple[str, int], int]) -> dict[str, TopicState]:
    none = dict.fromkeys(range(PARTITIONS), 0)
    return {
        table: TopicState(table, "id", none, {p: ends.get((table, p), 0) for p in range(PARTITIONS)})
        for table in TABLES
    }


def where(change: dict[str, int]) -> tuple[str, int]:
    return TABLE_NAMES[change[TABLE]], change[PARTITION]


@settings(deadline=None)
@given(data=st.data())
def test_any_prefix_of_each_partition_is_completed_without_loss_or_repeat(
    changes: pl.DataFrame, data: st.DataObject
) -> None:
    counts = {where(row): row[NTH] + 1 for row in changes.iter_rows(named=True)}
    ends = {place: data.draw(st.integers(0, count)) for place, count in counts.items()}
    to_do = pending(changes, states(ends))
    done = [row[SEQ] for row in changes.iter_rows(named=True) if row[NTH] < ends[where(row)]]
    assert sorted([*done, *to_do[SEQ]]) == changes[SEQ].to_list()
    assert to_do[SEQ].is_sorted()


def test_changes_of_a_key_stay_in_one_partition_and_count_up(changes: pl.DataFrame) -> None:
    assert changes.group_by(TABLE, "row").agg(pl.col(PARTITION).n_unique())[PARTITION].max() == 1
    for _place, mine in changes.group_by(TABLE, PARTITION, maintain_order=True):
        assert mine[NTH].to_list() == list(range(mine.height))


def test_only_the_tables_asked_for_are_pending(changes: pl.DataFrame) -> None:
    orders = {ORDERS.table: states({})[ORDERS.table]}
    assert set(pending(changes, orders)[TABLE]) == {TABLE_NAMES.index(ORDERS.table)}


def last_order(changes: pl.DataFrame, **other: object) -> LastRecord:
    """The record that stands last in some partition of the orders, or one that differs from it."""
    orders = changes.filter(pl.col(TABLE) == TABLE_NAMES.index(ORDERS.table))
    change = orders.row(orders.height - 1, named=True)
    told = {
        "table": ORDERS.table,
        "topic": "olist.public.x",
        "partition": change[PARTITION],
        "end": change[NTH] + 1,
        "connector": CONNECTOR,
        "sequence": ORIGIN.sequence(change[SEQ]),
    }
    return LastRecord(**(told | other))


def test_the_record_that_should_be_last_is_accepted(changes: pl.DataFrame) -> None:
    check_last_records(changes, [last_order(changes)], ORIGIN)
    check_last_records(changes, [], ORIGIN)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"connector": "postgresql"}, "not written by a replay but by postgresql"),
        ({"connector": ""}, "something else"),
        ({"sequence": '["ffffffffffff.1","3"]'}, "another data set"),
        ({"sequence": None}, "another data set"),
        ({"end": 1000}, "more than this data set has"),
        ({"sequence": ORIGIN.sequence(1)}, "two replays wrote at the same time"),
    ],
)
def test_any_other_last_record_is_refused_with_the_way_out(
    changes: pl.DataFrame, other: dict[str, object], reason: str
) -> None:
    with pytest.raises(Stopped, match=reason) as caught:
        check_last_records(changes, [last_order(changes, **other)], ORIGIN)
    assert "--from-start" in caught.value.hint


def test_full_speed_waits_for_nothing() -> None:
    assert Pace().due(np.array([0, 10**12]), 0.0) == 2
    assert not Pace().waits


def test_speed_turns_event_seconds_into_seconds() -> None:
    times = np.array([0, 3_600_000_000, 7_200_000_000])
    pace = Pace(speed=3600)
    assert [pace.due(times, elapsed) for elapsed in (0.0, 0.99, 1.0, 2.5)] == [1, 1, 2, 3]
    assert pace.due_at_s(times, 2) == 2.0


def test_rate_is_changes_per_second() -> None:
    times = np.zeros(100, dtype=np.int64)
    pace = Pace(rate=10)
    assert [pace.due(times, elapsed) for elapsed in (0.0, 0.5, 1.0, 60.0)] == [1, 6, 11, 100]
    assert pace.due_at_s(times, 5) == 0.5


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.integers(0, 49))
def test_a_change_is_due_when_the_pace_says_it_will_be(speed: float, rate: float, index: int) -> None:
    times = np.arange(50) * 1_000_000
    pace = Pace(speed, rate)
    assert pace.due(times, pace.due_at_s(times, index) + 1e-6) > index
