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

from compaction.report import Report
from compaction.thresholds import PREFIX
from olist.lake.catalog import identifier, open_catalog
from olist.lake.contents import Manifests
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import ORDERS
from tests.hot_orders import HISTORY, Processes, live, sample, unequal
from tests.planned_reads import planned_reads
from tests.waiting import DEADLINE_S, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]

KILLS = 5
GRACE_S = 4.0
SHORT_LIVED = {
    "history.expire.max-snapshot-age-ms": "500",
    "history.expire.min-snapshots-to-keep": "2",
    f"{PREFIX}grace-ms": f"{GRACE_S * 1000:.0f}",
}
DAYS_AHEAD, SHORT_LEASE = (str(Path(__file__).with_name(f"{name}.py")) for name in ("days_ahead", "short_lease"))


def later(seconds: float) -> None:
    moment = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > moment, "the next moment")


def let_snapshots_go_soon(settings: Settings, table: str) -> None:
    """So that files are deleted within the test."""

    def is_set() -> bool:
        try:
            with catalog.load_table(identifier(table)).transaction() as transaction:
                transaction.set_properties(SHORT_LIVED)
        except CommitFailedException:  # the sink was faster
            return False
        return True

    with closing(open_catalog(settings)) as catalog:
        wait_until(is_set, f"a commit of {table}'s properties")


def of_orders(processes: Processes) -> list[Report]:
    """The runs over the current rows that committed something."""
    return [report for report in processes.reports() if report.table == ORDERS.table and report.commits]


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
            let_snapshots_go_soon(settings, table)
        with planned_reads(settings, tables, GRACE_S) as reader:
            for kill in range(KILLS):
                later(chance.uniform(0.5, 4.0))
                for name in (("compactor",), ("sink",), ("sink", "compactor"))[kill % 3]:
                    assert not processes.ended()
                    processes.kill(name)
                    getattr(processes, name)()
            landed, gone = len(of_orders(processes)), deleted(processes)
            wait_until(lambda: len(of_orders(processes)) > landed, "a compaction of the orders after the last kill")
            wait_until(lambda: deleted(processes) > gone, "expired files to be deleted after the last kill")
            wait_until(lambda: reader.outlived > 0, "a plan whose snapshot expired while its files were read")
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
        assert swept(settings, "--delete") == found, "a sweep that only lists deletes nothing"
        assert swept(settings) == {table: set() for table in tables}
        for table in tables:
            assert readable_files(settings, table)
