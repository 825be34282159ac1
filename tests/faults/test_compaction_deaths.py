"""Kill the compactor, the sink, both, while hot orders change: the lake still equals the topic."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from compaction.storage import delete
from compaction.sweep import orphans
from olist.lake.catalog import identifier, open_catalog
from olist.lake.contents import Manifests
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import ORDERS
from tests.hot_orders import live, sample, unequal
from tests.waiting import DEADLINE_S, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]

KILLS = 5


def later(seconds: float) -> None:
    moment = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > moment, "the next moment")


def readable_files(settings: Settings) -> int:
    """Files of every snapshot that is there; a missing one fails."""
    catalog = open_catalog(settings)
    table = catalog.load_table(identifier(ORDERS.table))
    manifests = Manifests(table.io)
    paths = {path for snapshot in table.snapshots() for path in manifests.contents(snapshot).paths}
    missing = [path for path in paths if not table.io.new_input(path).exists()]
    catalog.close()
    assert not missing
    return len(paths)


def test_compactor_and_sink_killed_at_random_moments_lose_and_double_nothing(stack: Stack, tmp_path: Path) -> None:
    settings = stack.settings.model_copy(update={"topic_prefix": "compactiondeaths", "session_timeout_ms": 6_000})
    chance = random.Random(5)
    with live(settings, tmp_path, orders=3_000, rate=500, every="0.2s") as (hot, processes):
        wait_until(lambda: sample(settings) is not None, "the first commit")
        for kill in range(KILLS):
            later(chance.uniform(0.5, 4.0))
            for name in (("compactor",), ("sink",), ("sink", "compactor"))[kill % 3]:
                assert not processes.ended()
                processes.kill(name)
                getattr(processes, name)()
            readable_files(settings)
        landed = len(processes.reports())
        wait_until(lambda: len(processes.reports()) > landed, "a compaction after the last kill")
        hot.going.clear()
        assert not unequal(settings, DEADLINE_S)
        hot.going.set()
        assert processes.stop("compactor") == 0
        assert processes.stop("sink") == 0
        catalog = open_catalog(settings)
        table = catalog.load_table(identifier(ORDERS.table))
        far = time.time_ns() // 1_000_000 + 1
        left = {file.path for file in orphans(table.refresh, settings, 0, far)}
        table = catalog.load_table(identifier(ORDERS.table))
        used = Manifests(table.io).contents(table.current_snapshot()).paths
        assert not left & used
        assert delete(table.io, left) == len(left)
        assert not orphans(table.refresh, settings, 0, far)
        catalog.close()
        assert readable_files(settings)
