"""A Flink app's life on the local cluster, by `olist apps`, while orders go on changing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import psutil
import pytest

from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import ORDERS, Order
from olist.topics.admin import ensure_topics
from stream_apps.deploy import keeping
from stream_apps.deploy.folder import Deployment, deployments
from tests.apps import COMMAND_WITHIN_S, Load, Rows, begin, by_status, expect_rows, olist, status
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
    """The servers with topics of the test's own; no app and no keeper is left behind."""
    found = flink_stack.settings.model_copy(update={"topic_prefix": f"flinkapps{next(NUMBERS)}.public"})
    ensure_topics(found, [ORDERS])
    yield found
    for name in deployments(found):
        olist(found, "apps", "delete", name, "--yes")
    keeping.end(found)


def write(path: Path, columns: str, where: str = ALL) -> Path:
    path.write_text(CODE.format(columns=columns, where=where))
    return path


def settled(settings: Settings, version: int, name: str = NAME) -> bool:
    found = status(settings, name)
    return bool(found["healthy"]) and found["version"] == version


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
        assert "restored" in plan.stdout
        assert status(shop, NAME)["version"] == 1
        olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes")
        expect_rows(shop, path, load, doubled)

        # A change that it does not: the old version goes on by itself.
        write(path, COUNT.format(DOUBLED, CUSTOMERS), WITHOUT_UNAVAILABLE)
        assert "state refused" in olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--plan").stdout
        forewarned = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes", code=1)
        assert "nothing was stopped" in forewarned.stderr
        refused = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes", "--anyway", code=1)
        assert "the old version runs again from where it stopped" in refused.stderr
        assert "--rebuild" in refused.stderr
        assert settled(shop, version=2)
        expect_rows(shop, path, load, doubled)

        rebuilt = olist(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes", "--rebuild")
        assert "built anew" in rebuilt.stdout
        expect_rows(shop, path, load, with_customers)

        olist(shop, "apps", "rollback", NAME, "--yes")
        assert settled(shop, version=2)
        expect_rows(shop, path, load, doubled)


@pytest.mark.timeout(900)
def test_apps_go_on_by_themselves_after_their_cluster_or_their_keeper_was_killed(
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

        first = {name: Deployment.of(shop, name).standing(1) for name in (NAME, TWIN)}
        pid = flink_stack.states()["jobmanager"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        for name in (NAME, TWIN):
            wait_until(lambda n=name: Deployment.of(shop, n).standing(1).jobs != first[n].jobs, f"{name} again")  # type: ignore[misc]
            wait_until(lambda n=name: settled(shop, version=1, name=n), f"{name} to be healthy again")  # type: ignore[misc]
            again = Deployment.of(shop, name).standing(1)
            assert f"{first[name].job}/chk-" in again.restored, "it goes on from its newest checkpoint"
            assert status(shop, name)["restarts"] >= 1
        expect_rows(shop, path, load, counts)
        expect_rows(shop, twin, load, counts)

        again = Deployment.of(shop, NAME).standing(1)
        keeper = keeping.keeper(shop)
        assert keeper is not None
        psutil.Process(keeper).kill()
        wait_until(lambda: keeping.keeper(shop) is None, "the end of the keeper")
        expect_rows(shop, path, load, counts)  # the job does not mind
        status(shop, NAME)
        assert keeping.keeper(shop) not in (None, keeper)
        wait_until(lambda: settled(shop, version=1), "the app to be seen healthy")
        assert Deployment.of(shop, NAME).standing(1).jobs == again.jobs, "the new keeper let the job go on"


@pytest.mark.timeout(600)
def test_an_app_is_stopped_goes_on_from_there_and_leaves_nothing_when_it_is_deleted(
    shop: Settings, tmp_path: Path
) -> None:
    path = write(tmp_path / f"{NAME}.py", COUNT.format(NOT_DOUBLED, NO_CUSTOMERS))
    with Load(shop, seed=3) as load:
        olist(shop, "apps", "deploy", NAME, "--file", str(path))
        taken = olist(shop, "apps", "savepoint", NAME).stdout.strip()
        assert taken.startswith("file:")
        olist(shop, "apps", "stop", NAME)
        found = status(shop, NAME)
        assert (found["state"], found["wanted"]) == ("stopped", "stopped")
        load.write(50)
        olist(shop, "apps", "restart", NAME)
        expect_rows(shop, path, load, counts)
        olist(shop, "apps", "scale", NAME, "2")
        assert status(shop, NAME)["parallelism"] == 2
        expect_rows(shop, path, load, counts)
    told = olist(shop, "apps", "delete", NAME)
    assert "nothing was removed" in told.stdout
    assert Deployment.of(shop, NAME).record() is not None
    olist(shop, "apps", "delete", NAME, "--yes")
    assert not Deployment.of(shop, NAME).path.exists()


@pytest.mark.timeout(300)
def test_an_app_that_flink_refuses_is_not_deployed_and_says_why(shop: Settings, tmp_path: Path) -> None:
    path = write(tmp_path / f"{NAME}.py", "no_such_column AS orders, 1 AS doubled, 1 AS customers")
    refused = olist(shop, "apps", "deploy", NAME, "--file", str(path), code=1)
    assert "no_such_column" in refused.stderr
    assert Deployment.of(shop, NAME).record() is None
