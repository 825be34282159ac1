"""A Flink app's life on the local cluster, by `olist apps`, while orders go on changing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import psutil
import pytest
import requests

from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.servers.server import free_ports
from olist.tables import ORDERS, Order
from olist.topics.admin import ensure_topics
from stream_apps.deploy import stack_hooks
from stream_apps.deploy.store import Deployment, deployments
from stream_apps.records import Record, VersionState
from stream_apps.savepoints import local, savepoints
from tests.apps import (
    COMMAND_WITHIN_S,
    Load,
    Rows,
    begin,
    by_status,
    expect_rows,
    following,
    olist,
    status,
    wait_until_served,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

NUMBERS = count(1)
NAME = "orders_by_status"
TWIN = "orders_by_status_too"
CODE = '''
from olist.contracts import Contract, Long, Row, Str
from olist.tables import ORDERS
from stream_apps.app import FlinkApp


class Counted(Row):
    order_status: Str
    orders: Long
    doubled: Long | None = None
    customers: Long | None = None


APP = FlinkApp(
    name="orders_by_status",
    reads=(ORDERS,),
    writes=Contract("orders_by_status", Counted, ("order_status",)),
    select="""
        SELECT order_status, {columns}, MAX(_committed_us) AS _committed_us
        FROM orders {where}
        GROUP BY order_status
    """,
)
'''
COUNT = "COUNT(*) AS orders, {}, {}"
DOUBLED, NOT_DOUBLED = "COUNT(*) * 2 AS doubled", "CAST(NULL AS BIGINT) AS doubled"
CUSTOMERS, NO_CUSTOMERS = "COUNT(DISTINCT customer_id) AS customers", "CAST(NULL AS BIGINT) AS customers"
CARRIED = "restored, old rows not rewritten"
ALL, WITHOUT_UNAVAILABLE = "", "WHERE order_status <> 'unavailable'"


def counts(orders: Mapping[str, Order]) -> Rows:
    """What the first version says."""
    return {
        status: {"order_status": status, "orders": len(some), "doubled": None, "customers": None}
        for status, some in by_status(orders).items()
    }


def doubled(orders: Mapping[str, Order]) -> Rows:
    """What the second says."""
    return {status: {**row, "doubled": 2 * row["orders"]} for status, row in counts(orders).items()}


def with_customers(orders: Mapping[str, Order]) -> Rows:
    """What the third says, which leaves one status out."""
    customers = {status: len({order.customer_id for order in some}) for status, some in by_status(orders).items()}
    return {
        status: {**row, "customers": customers[status]}
        for status, row in doubled(orders).items()
        if status != "unavailable"
    }


@pytest.fixture
def shop(flink_stack: Stack) -> Iterator[Settings]:
    """The servers with topics of the test's own; no app and no supervisor is left behind."""
    changed = {
        "topic_prefix": f"flinkapps{next(NUMBERS)}.public",
        "metrics_port": free_ports(1, after=flink_stack.settings.opensearch_port + 1)[0],
    }
    found = flink_stack.settings.model_copy(update=changed)
    ensure_topics(found, [ORDERS])
    yield found
    for name in deployments(found):
        olist(found, "apps", "delete", name, "--yes")
    stack_hooks.end(found)


def write(path: Path, columns: str, where: str = ALL) -> Path:
    path.write_text(CODE.format(columns=columns, where=where))
    return path


def settled(settings: Settings, version: int, name: str = NAME) -> bool:
    found = status(settings, name)
    return bool(found["healthy"]) and found["version"] == version


def record_of(settings: Settings, name: str = NAME) -> Record:
    record = Deployment.of(settings, name).record()
    assert record is not None
    return record


def current(settings: Settings) -> VersionState:
    """Where the version that runs stands."""
    return Deployment.of(settings, NAME).state_of(record_of(settings).current)


def expect_savepoint(settings: Settings, path: str) -> None:
    """It is whole, and the deployment's own."""
    folder = local(path)
    assert folder is not None
    assert folder.parent == savepoints(Deployment.of(settings, NAME).states)
    assert (folder / "_metadata").exists()


def expect_restored(settings: Settings, version: int, *, of: int) -> None:
    """A version runs from a version's savepoint. Rows do not tell: without a state a job reads all anew."""
    assert settled(settings, version)
    running, left = current(settings), Deployment.of(settings, NAME).state_of(of)
    expect_savepoint(settings, left.savepoint)
    assert local(running.restored) == local(left.savepoint)
    found = requests.get(f"{settings.flink_url}/jobs/{running.job}/checkpoints", timeout=10).json()
    assert found["counts"]["restored"] == 1
    assert local(found["latest"]["restored"]["external_path"]) == local(left.savepoint)


@pytest.mark.timeout(1500)
def test_an_app_is_deployed_upgraded_put_back_rebuilt_and_rolled_back_while_orders_go_on(
    shop: Settings, tmp_path: Path
) -> None:
    path = write(tmp_path / f"{NAME}.py", COUNT.format(NOT_DOUBLED, NO_CUSTOMERS))
    with Load(shop) as load:
        olist(shop, "apps", "deploy", NAME, "--file", str(path))
        expect_rows(shop, path, load, counts)
        again = olist(shop, "apps", "deploy", NAME, "--file", str(path))
        assert "version 1 is healthy" in again.stdout
        assert status(shop, NAME)["restarts"] == 0, "deploying the same again must leave it alone"

        # A change that the state survives.
        write(path, COUNT.format(DOUBLED, NO_CUSTOMERS))
        expect_rows(shop, path, load, counts)  # the working tree changes nothing
        plan = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--plan")
        assert "+        SELECT order_status, COUNT(*) AS orders, COUNT(*) * 2 AS doubled" in plan.stdout
        assert f"{NAME}: {CARRIED}: only what is computed last differs, from the same state" in plan.stdout.splitlines()
        assert status(shop, NAME)["version"] == 1
        upgraded = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes")
        assert upgraded.stdout.splitlines()[-1] == f"{NAME}: version 2 is healthy; its state: {CARRIED}"
        expect_rows(shop, path, load, doubled)
        expect_restored(shop, 2, of=1)

        # Back without a rebuild in between: its own savepoint, and the changes since.
        olist(shop, "apps", "rollback", NAME, "--yes")
        expect_rows(shop, path, load, counts)
        expect_restored(shop, 1, of=1)

        # A change that the state does not survive: the old version goes on by itself.
        write(path, COUNT.format(DOUBLED, CUSTOMERS), WITHOUT_UNAVAILABLE)
        assert "state refused" in olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--plan").stdout
        forewarned = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes", code=1)
        assert "nothing was stopped" in forewarned.stderr
        refused = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes", "--anyway", code=1)
        assert "the old version runs again from where it stopped" in refused.stderr
        assert "--rebuild" in refused.stderr
        expect_restored(shop, 1, of=1)
        expect_rows(shop, path, load, counts)

        rebuilt = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes", "--rebuild")
        assert "built anew" in rebuilt.stdout
        expect_rows(shop, path, load, with_customers)
        anew = record_of(shop).current
        expect_restored(shop, anew, of=anew)

        olist(shop, "apps", "rollback", NAME, "--yes")
        expect_restored(shop, 1, of=1)
        expect_rows(shop, path, load, counts)


@pytest.mark.timeout(900)
def test_apps_go_on_by_themselves_after_their_cluster_or_their_supervisor_was_killed(
    shop: Settings, flink_stack: Stack, tmp_path: Path
) -> None:
    path = write(tmp_path / f"{NAME}.py", COUNT.format(NOT_DOUBLED, NO_CUSTOMERS))
    twin = tmp_path / f"{TWIN}.py"
    twin.write_text(path.read_text().replace(NAME, TWIN))
    with Load(shop, seed=2) as load:
        deploying = [begin(shop, "apps", "deploy", code.stem, "--file", str(code)) for code in (path, twin)]
        assert [process.wait(COMMAND_WITHIN_S) for process in deploying] == [0, 0]
        expect_rows(shop, path, load, counts)
        expect_rows(shop, twin, load, counts)

        first = {name: Deployment.of(shop, name).state_of(1) for name in (NAME, TWIN)}
        pid = flink_stack.states()["jobmanager"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        for name in (NAME, TWIN):
            wait_until(lambda n=name: Deployment.of(shop, n).state_of(1).jobs != first[n].jobs, f"{name} again")  # type: ignore[misc]
            wait_until(lambda n=name: settled(shop, version=1, name=n), f"{name} to be healthy again")  # type: ignore[misc]
            again = Deployment.of(shop, name).state_of(1)
            assert f"{first[name].job}/chk-" in again.restored, "it goes on from its newest checkpoint"
            assert status(shop, name)["restarts"] >= 1
        expect_rows(shop, path, load, counts)
        expect_rows(shop, twin, load, counts)

        again = Deployment.of(shop, NAME).state_of(1)
        supervisor = stack_hooks.supervisor_pid(shop)
        assert supervisor is not None
        psutil.Process(supervisor).kill()
        wait_until(lambda: stack_hooks.supervisor_pid(shop) is None, "the end of the supervisor")
        expect_rows(shop, path, load, counts)  # the job does not mind
        status(shop, NAME)
        assert stack_hooks.supervisor_pid(shop) not in (None, supervisor)
        wait_until(lambda: settled(shop, version=1), "the app to be seen healthy")
        assert Deployment.of(shop, NAME).state_of(1).jobs == again.jobs, "the new supervisor let the job go on"


@pytest.mark.timeout(600)
def test_an_app_is_stopped_goes_on_from_there_and_leaves_nothing_when_it_is_deleted(
    shop: Settings, tmp_path: Path
) -> None:
    path = write(tmp_path / f"{NAME}.py", COUNT.format(NOT_DOUBLED, NO_CUSTOMERS))
    with Load(shop, seed=3) as load:
        olist(shop, "apps", "deploy", NAME, "--file", str(path))
        taken = olist(shop, "apps", "savepoint", NAME).stdout.strip()
        expect_savepoint(shop, taken)
        load.pause()
        with following(shop, NAME, {"jobmanager", "taskmanager"}) as newer:
            olist(shop, "apps", "stop", NAME)
            asked = f"Triggering stop-with-savepoint for job {current(shop).job}"
            assert next(line for line in newer if asked in line).startswith("jobmanager ")  # read until it comes
        found = status(shop, NAME)
        assert (found["state"], found["wanted"]) == ("stopped", "stopped")
        stopped = current(shop)
        assert local(stopped.savepoint) != local(taken)
        load.write(50)
        olist(shop, "apps", "stop", NAME)
        assert current(shop) == stopped, "to stop what is stopped changes nothing"
        wait_until_served(shop, NAME, lag=range(50, 1000))  # what its last checkpoint had not read is counted too
        olist(shop, "apps", "restart", NAME)
        expect_restored(shop, 1, of=1)
        expect_rows(shop, path, load, counts)
        olist(shop, "apps", "scale", NAME, "2")
        assert status(shop, NAME)["parallelism"] == 2
        expect_restored(shop, 1, of=1)
        expect_rows(shop, path, load, counts)
    wait_until_served(shop, NAME, lag=range(1))
    expect_drained(shop)
    told = olist(shop, "apps", "delete", NAME)
    assert "nothing was removed" in told.stdout
    assert Deployment.of(shop, NAME).record() is not None
    olist(shop, "apps", "delete", NAME, "--yes")
    assert not Deployment.of(shop, NAME).path.exists()


def expect_drained(settings: Settings) -> None:
    """Stopped for good: the job has ended, with a savepoint of all that it held."""
    before = current(settings)
    olist(settings, "apps", "stop", NAME, "--drain")
    found = current(settings)
    assert found.job == before.job
    expect_savepoint(settings, found.savepoint)
    assert local(found.savepoint) not in map(local, before.states)
    job = requests.get(f"{settings.flink_url}/jobs/{found.job}", timeout=10).json()
    assert job["state"] == "FINISHED"
    assert status(settings, NAME)["state"] == "stopped"


@pytest.mark.timeout(300)
def test_an_app_that_flink_refuses_is_not_deployed_and_says_why(shop: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / f"{NAME}.py", "no_such_column AS orders, 1 AS doubled, 1 AS customers")
    refused = olist(shop, "apps", "deploy", NAME, "--file", str(path), code=1)
    assert "no_such_column" in refused.stderr
    assert Deployment.of(shop, NAME).record() is None
