from __future__ import annotations

import pytest

from benchmarks.soaking import Seen, Soaked, growth, minutes, percentile, soaked
from benchmarks.timed_lake import Commit
from compaction.report import Report
from compaction.table_stats import TableStats
from tests.hot_orders import Sample

LOOK = TableStats(1, 0, 1, 1, 0, 1)


def soak(files: tuple[int, int, int], took_ms: tuple[float, float, float], lost: int = 0) -> Soaked:
    """Of 90 s, with so many files and such commits in each third."""
    seen = Seen(1000.0, 1090.0, [(1000.0 + second, Sample(files[second // 30], 0, 5)) for second in range(90)])
    commits = [Commit("orders", 1000.0 + second, took_ms[second // 30]) for second in range(90)]
    reports = [
        Report(table="orders", at_ms=0, seconds=1.0, before=LOOK, after=LOOK, commits=commits, lost=lost)
        for commits in (2, 0)
    ]
    return soaked(seen, commits, reports)


def test_a_table_that_stays_as_it_is_is_well_whatever_it_was_in_between() -> None:
    found = soak((40, 90, 50), (100.0, 900.0, 120.0))
    assert (found.files_growth, found.commit_growth) == (1.25, 1.2)
    assert (found.runs, found.runs_that_committed, found.commits) == (2, 1, 2)
    assert found.is_well


@pytest.mark.parametrize(
    "found",
    [
        soak((40, 50, 61), (100.0, 100.0, 100.0)),
        soak((40, 40, 40), (100.0, 120.0, 151.0)),
        soak((40, 40, 40), (100.0, 100.0, 100.0), lost=1),
        soaked(Seen(0.0, 90.0), [], []),
    ],
    ids=["more files", "slower commits", "a lost compaction", "nothing seen"],
)
def test_growth_a_lost_compaction_and_seeing_nothing_are_not_well(found: Soaked) -> None:
    assert not found.is_well


def test_minutes_have_the_most_files_and_the_commits_of_their_own_time() -> None:
    seen = Seen(0.0, 90.0, [(1.0, Sample(5, 2, 9)), (59.0, Sample(3, 4, 1)), (61.0, Sample(1, 1, 1))])
    first, second = minutes(seen, [(float(at), float(at)) for at in range(100)])
    assert (first.most_data_files, first.most_delete_files, first.most_snapshots) == (5, 4, 9)
    assert (first.commits, first.commit_ms_p50, first.commit_ms_p99) == (60, 29.0, 59.0)
    assert (second.most_data_files, second.commits) == (1, 30)


def test_percentiles_are_values_that_were_there() -> None:
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) is None
    assert growth(0.0, 5.0) is None
