"""A sink that commits each second and a compactor beside it, on the real servers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from compaction.report import topic_of
from olist.lake.row_locations import REINDEXING
from olist.settings import Settings
from olist.stack.local import Stack
from olist.topics.admin import admin_client, topic_state
from olist.topics.reader import read
from tests.hot_orders import live, sample, unequal
from tests.waiting import DEADLINE_S, wait_until

pytestmark = pytest.mark.integration

RUNS = 4


def test_under_hot_updates_every_compaction_commits_and_the_lake_equals_the_topic(stack: Stack, tmp_path: Path) -> None:
    settings = stack.settings.model_copy(update={"topic_prefix": "compactionlive"})
    with live(settings, tmp_path, orders=5_000, rate=2_000, every="2s") as (hot, processes):
        wait_until(lambda: sample(settings) is not None, "the first commit")
        for runs in range(1, RUNS + 1):
            wait_until(lambda runs=runs: len(processes.reports()) >= runs, "a compaction")  # type: ignore[misc]
            assert not processes.ended()
        hot.going.clear()
        assert not unequal(settings, DEADLINE_S)
        asked = time.monotonic()
        assert processes.stop("compactor") == 0
        assert time.monotonic() - asked < 30
        assert processes.stop("sink") == 0
        reports = processes.reports()
    assert sum(report.commits for report in reports) >= RUNS
    assert sum(report.lost for report in reports) == 0
    assert "written" in processes.said("sink")
    assert REINDEXING not in processes.said("sink"), "the sink followed the rewrites"
    assert published(settings, topic_of(settings)) == len(reports)


def published(settings: Settings, topic: str) -> int:
    """Records on the reports' topic."""
    state = topic_state(admin_client(settings), topic)
    return sum(map(len, read(settings, topic, state.first, state.end)))
