"""Kill the compactor, the sink, both, while hot orders change: the lake still equals the topic, and readers read on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from pyiceberg.exceptions import CommitFailedException

from compaction.options import PREFIX
from compaction.storage import Stored
from compaction.sweep import orphans
from olist.lake.catalog import identifier, open_catalog
from olist.lake.manifests import Manifests
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import ORDERS
from tests.hot_orders import HISTORY, Processes, live, sample, unequal
from tests.planned_reads import planned_reads
from tests.waiting import DEADLINE_S, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]

KILLS = 5
GRACE_S = 4.0
RESTLESS = {
    "history.expire.max-snapshot-age-ms": "500",
    "history.expire.min-snapshots-to-keep": "2",
    f"{PREFIX}grace-ms": f"{GRACE_S * 1000:.0f}",
    f"{PREFIX}min-input-files": "2",
    f"{PREFIX}min-delete-files": "2",
}
DAYS_AHEAD, SHORT_LEASE = (str(Path(__file__).with_name(f"{name}.py")) for name in ("days_ahead", "short_lease"))


def later(seconds: float) -> None:
    moment = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > moment, "the next moment")


def leave_no_rest(settings: Settings, table: str) -> None:
    """Have a table rewritten whenever there is anything, and its files deleted within the test."""

    def is_set() -> bool:
        try:
            with catalog.load_table(identifier(table)).transaction() as transaction:
                transaction.set_properties(RESTLESS)
        except CommitFailedException:  # the sink was faster
            return False
        return True

    with closing(open_catalog(settings)) as catalog:
        wait_until(is_set, f"a commit of {table}'s properties")


def rewrites(processes: Processes, table: str) -> int:
    """Runs over a table that committed something."""
    return sum(report.table == table and report.commits > 0 for report in processes.reports())


def deleted(processes: Processes) -> int:
    """Files of expired snapshots that went."""
    return sum(report.deleted_files for report in processes.reports())


def readable_files(settings: Settings, table: str) -> set[str]:
    """Files of every snapshot that is there; a missing one fails."""
    with closing(open_catalog(settings)) as catalog:
        there = catalog.load_table(identifier(table))
        manifests = Manifests(there.io)
        paths = {path for snapshot in there.snapshots() for path in manifests.contents(snapshot).paths}
        assert not [path for path in paths if not there.io.new_input(path).exists()]
    return paths


def leave_behind(settings: Settings, table: str) -> str:
    """A file as a writer leaves it that was killed before its commit."""
    with closing(open_catalog(settings)) as catalog:
        there = catalog.load_table(identifier(table))
        path = f"{there.location()}/data/left-behind.parquet"
        with there.io.new_output(path).create() as out:
            out.write(b"rows")
    return path


def unreferred(settings: Settings, table: str) -> list[Stored]:
    """What a sweep of files of any age would find."""
    with closing(open_catalog(settings)) as catalog:
        there = catalog.load_table(identifier(table))
        return orphans(there.refresh, settings, 0, time.time_ns() // 1_000_000 + 1).files


def swept(settings: Settings, *options: str) -> dict[str, set[str]]:
    """What `olist compact sweep` finds, by table, of both tables of the orders."""
    command = ("compact", "sweep", "--older-than", "1d", "--tables", ORDERS.table, "-o", "json", *options)
    said = subprocess.run(
        [sys.executable, DAYS_AHEAD, *command], env=settings.environment(), check=True, stdout=subprocess.PIPE
    ).stdout
    found = [msgspec.json.decode(line) for line in said.splitlines()]
    return {one["table"]: set(one["orphans"]) for one in found}


def test_compactor_and_sink_killed_at_random_moments_lose_and_double_nothing(stack: Stack, tmp_path: Path) -> None:
    settings = stack.settings.model_copy(update={"topic_prefix": "compactiondeaths", "session_timeout_ms": 6_000})
    chance = random.Random(5)
    tables = (ORDERS.table, HISTORY)
    programs = {"compactor": (SHORT_LEASE,)}
    with live(settings, tmp_path, orders=3_000, rate=500, every="0.2s", programs=programs) as (hot, processes):
        wait_until(lambda: sample(settings) is not None, "the first commit")
        for table in tables:
            leave_no_rest(settings, table)
        with planned_reads(settings, tables, GRACE_S) as reader:
            for kill in range(KILLS):
                seen = len(processes.reports())
                wait_until(lambda seen=seen: len(processes.reports()) > seen, "a compactor at work")  # type: ignore[misc]
                later(chance.uniform(0.0, 1.5))
                for name in (("compactor",), ("sink",), ("sink", "compactor"))[kill % 3]:
                    assert not processes.ended()
                    processes.kill(name)
                    getattr(processes, name)()
            landed, gone = rewrites(processes, ORDERS.table), deleted(processes)
            wait_until(lambda: rewrites(processes, ORDERS.table) > landed, "the orders' rewrite after the last kill")
            wait_until(lambda: deleted(processes) > gone, "expired files to be deleted after the last kill")
            wait_until(lambda: reader.ended.is_set() or reader.outlived > 0, "a snapshot that expired under a reader")
        hot.going.clear()
        assert not unequal(settings, DEADLINE_S)
        hot.going.set()
        assert processes.stop("compactor") == 0
        assert processes.stop("sink") == 0
        left_behind = {leave_behind(settings, table) for table in tables}
        found = swept(settings)
        assert found.keys() == set(tables)
        assert left_behind <= set.union(*found.values())
        for table in tables:
            assert not found[table] & readable_files(settings, table)
        assert swept(settings, "--delete", "--yes") == found, "a sweep that only lists deletes nothing"
        for table in tables:
            assert readable_files(settings, table)
            assert not unreferred(settings, table)
