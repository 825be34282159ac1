"""A Faust app's life as worker processes of this machine, by `olist apps`, while orders go on changing."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import psutil
import pytest

from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.servers.server import free_ports
from olist.tables import ORDERS, Order
from olist.topics.admin import ensure_topics
from olist.topics.broker import Broker
from stream_apps.deploy import stack_hooks
from stream_apps.deploy.store import Deployment, deployments
from stream_apps.faust.worker_processes import alive
from stream_apps.loader import load_app
from tests.apps import Load, Rows, begin, expect_rows, following, olist, served, status, wait_until_served
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

NUMBERS = count(1)
NAME = "orders_by_customer"
CODE = """
import msgspec

from olist.changes import Change
from olist.contracts import Contract, Int, Row, Str
from olist.tables import ORDERS
from stream_apps.app import FaustApp, Input


class Counted(Row):
    customer_id: Str
    orders: Int
    canceled: Int | None = None


class State(msgspec.Struct):
    seen: dict[str, {kept}] = {{}}


OUT = Contract("orders_by_customer", Counted, ("customer_id",))


def fold(state, given, change):
    if change.row is None:
        state.seen.pop(change.key[0], None)
    else:
        state.seen[change.key[0]] = {value}
    return state


def rows(key, state, clock_us):
    _space, customer = key
    if state.seen and {condition}:
        yield OUT, Counted(customer, len(state.seen), {canceled})


APP = FaustApp(NAME := "orders_by_customer", (Input(ORDERS, ("customer_id",)),), (OUT,), State, fold, rows)
"""
FIRST = CODE.format(kept="str", value="change.row.order_status", condition="True", canceled="None")
CANCELED = 'sum(status == "canceled" for status in state.seen.values())'
SECOND = CODE.format(kept="str", value="change.row.order_status", condition="True", canceled=CANCELED)
THIRD = CODE.format(
    kept="bool",
    value='change.row.order_status == "canceled"',
    condition='customer != "c1"',
    canceled="sum(state.seen.values())",
)
BROKEN = FIRST.replace("    return state", "    1 / 0\n    return state")


def first(orders: Mapping[str, Order]) -> Rows:
    """Orders per customer."""
    counted = Counter(order.customer_id for order in orders.values())
    return {one: {"customer_id": one, "orders": some, "canceled": None} for one, some in counted.items()}


def second(orders: Mapping[str, Order]) -> Rows:
    """And how many of them are canceled."""
    canceled = Counter(order.customer_id for order in orders.values() if order.order_status == "canceled")
    return {one: {**row, "canceled": canceled[one]} for one, row in first(orders).items()}


def third(orders: Mapping[str, Order]) -> Rows:
    """The same, one customer left out."""
    return {one: row for one, row in second(orders).items() if one != "c1"}


@pytest.fixture
def shop(stack: Stack) -> Iterator[Settings]:
    """The servers with topics of the test's own; no app and no supervisor is left behind."""
    changed = {
        "topic_prefix": f"faustapps{next(NUMBERS)}.public",
        "metrics_port": free_ports(1, after=stack.settings.opensearch_port + 1)[0],
    }
    found = stack.settings.model_copy(update=changed)
    ensure_topics(found, [ORDERS])
    yield found
    for name in deployments(found):
        olist(found, "apps", "delete", name, "--yes")
    stack_hooks.end(found)


def settled(settings: Settings, version: int) -> bool:
    found = status(settings, NAME)
    return bool(found["healthy"]) and found["version"] == version


@pytest.mark.timeout(1200)
def test_an_app_is_deployed_upgraded_put_back_rebuilt_and_rolled_back_while_orders_go_on(
    shop: Settings, tmp_path: Path
) -> None:
    path = tmp_path / f"{NAME}.py"
    path.write_text(FIRST)
    change = ("apps", "upgrade", NAME, "--file", str(path))
    with Load(shop, seed=11) as load:
        olist(shop, "apps", "deploy", NAME, "--file", str(path))
        expect_rows(shop, path, load, first)

        path.write_text(SECOND)  # the state survives, and every row is written anew from it
        olist(shop, *change, "--yes")
        expect_rows(shop, path, load, second)

        path.write_text(BROKEN)  # it starts, and falls over with the first order
        broken = olist(shop, *change, "--yes", code=1)
        assert "ZeroDivisionError" in broken.stderr
        assert "the old version runs again" in broken.stderr
        assert settled(shop, version=2)
        path.write_text(SECOND)
        expect_rows(shop, path, load, second)

        path.write_text(THIRD)
        refused = olist(shop, *change, "--yes", code=1)
        assert "seen of the state is of another type" in refused.stderr
        assert "--rebuild" in refused.stderr
        olist(shop, *change, "--yes", "--rebuild")
        expect_rows(shop, path, load, third)
        assert not [name for name in Broker(shop).names() if name.endswith(".g2") and NAME in name.split(".")[-2]]

        olist(shop, "apps", "rollback", NAME, "--yes")
        assert settled(shop, version=2)
        expect_rows(shop, path, load, second)


@pytest.mark.timeout(600)
def test_workers_and_the_supervisor_are_started_again_when_they_were_killed(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.py"
    path.write_text(FIRST)
    with Load(shop, seed=12) as load:
        olist(shop, "apps", "deploy", NAME, "--file", str(path), "--parallelism", "2")
        expect_rows(shop, path, load, first)
        before = Deployment.of(shop, NAME).state_of(1).workers
        assert len(before) == 2
        taken = f'olist_app_events_total{{app="{NAME}"}}'
        wait_until(lambda: served(shop, taken) >= len(load.orders), "the supervisor to tell what both workers took")
        healthy = f'olist_deployed_app_healthy{{app="{NAME}"}}'
        wait_until(lambda: served(shop, healthy) == 1, "the supervisor to tell that it is healthy")
        with following(shop, NAME, {f"app-{NAME}-0", f"app-{NAME}-1"}) as newer:
            psutil.Process(before[0].pid).kill()
            wait_until(lambda: Deployment.of(shop, NAME).state_of(1).workers[0] != before[0], "another worker")
            assert next(line for line in newer if line.startswith(f"app-{NAME}-0 "))  # read until it comes
        after = Deployment.of(shop, NAME).state_of(1).workers
        assert after[1] == before[1], "the other worker goes on"
        expect_rows(shop, path, load, first)
        wait_until(lambda: settled(shop, version=1), "the app to be healthy again")
        assert status(shop, NAME)["restarts"] == 1

        supervisor = stack_hooks.supervisor_pid(shop)
        assert supervisor is not None
        psutil.Process(supervisor).kill()
        wait_until(lambda: stack_hooks.supervisor_pid(shop) is None, "the end of the supervisor")
        assert all(alive(worker) for worker in after), "workers do not mind"
        status(shop, NAME)
        wait_until(lambda: stack_hooks.supervisor_pid(shop) not in (None, supervisor), "another supervisor")
        assert Deployment.of(shop, NAME).state_of(1).workers == after
        expect_rows(shop, path, load, first)
        expect_stopped_restarted_and_scaled(shop, path, load)
    last = Deployment.of(shop, NAME).state_of(1).workers
    stack_hooks.end(shop)
    assert not any(alive(worker) for worker in last), "the end of the stack is the workers' end"
    assert status(shop, NAME)["wanted"] == "running"
    wait_until(lambda: settled(shop, version=1), "what is wanted to run again")


def expect_stopped_restarted_and_scaled(settings: Settings, path: Path, load: Load) -> None:
    """Its two workers, and then one, go on from where they ended."""
    deployment = Deployment.of(settings, NAME)
    refused = olist(settings, "apps", "savepoint", NAME, code=1)
    assert f"{NAME} keeps its state on the topic" in refused.stderr
    load.pause()
    before = deployment.state_of(1).workers
    olist(settings, "apps", "stop", NAME)
    assert not any(alive(worker) for worker in before)
    load.write(50)
    stopped = deployment.state_of(1)
    olist(settings, "apps", "stop", NAME)
    assert deployment.state_of(1) == stopped, "to stop what is stopped changes nothing"
    assert status(settings, NAME)["state"] == "stopped"
    wait_until_served(settings, NAME, lag=range(50, 51))
    olist(settings, "apps", "restart", NAME)
    assert len(deployment.state_of(1).workers) == 2
    expect_rows(settings, path, load, first)
    olist(settings, "apps", "scale", NAME, "1")
    assert len(deployment.state_of(1).workers) == 1
    assert status(settings, NAME)["parallelism"] == 1
    expect_rows(settings, path, load, first)
    load.pause()
    wait_until_served(settings, NAME, lag=range(1))


@pytest.mark.timeout(300)
def test_an_app_that_falls_over_at_once_is_not_deployed_and_says_why(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.py"
    path.write_text(BROKEN)
    with Load(shop, seed=13):
        failed = olist(shop, "apps", "deploy", NAME, "--file", str(path), code=1)
    assert "ZeroDivisionError" in failed.stderr
    assert status(shop, NAME)["state"] == "stopped"
    assert not Deployment.of(shop, NAME).state_of(1).workers


@pytest.mark.timeout(600)
def test_an_upgrade_whose_command_was_killed_is_undone(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.py"
    path.write_text(FIRST)
    deployment = Deployment.of(shop, NAME)
    with Load(shop, seed=14) as load:
        olist(shop, "apps", "deploy", NAME, "--file", str(path))
        path.write_text(SECOND)
        upgrade = begin(shop, "apps", "upgrade", NAME, "--file", str(path), "--yes")
        wait_until(lambda: bool((record := deployment.record()) and record.trying == 2), "version 2 to be tried")
        upgrade.kill()
        upgrade.wait()
        wait_until(lambda: settled(shop, version=1), "the old version to run again")
        record = deployment.record()
        assert record is not None
        assert (record.trying, record.current) == (None, 1)
        assert not any(alive(worker) for worker in deployment.state_of(2).workers)
        path.write_text(FIRST)
        expect_rows(shop, path, load, first)


@pytest.mark.timeout(300)
def test_an_app_runs_in_the_foreground_and_leaves_nothing_but_its_rows(shop: Settings, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.py"
    path.write_text(FIRST)
    with Load(shop, seed=15) as load:
        running = begin(shop, "apps", "run", NAME, "--file", str(path))
        ensure_topics(shop, load_app(path).outputs)
        expect_rows(shop, path, load, first)
        assert running.stdout is not None
        assert f"{NAME}: running\n" in running.stdout  # read until it comes
        running.send_signal(signal.SIGINT)
        told = running.communicate(timeout=120)[0]
    assert running.returncode == 0, told
    assert not [name for name in Broker(shop).names() if "foreground" in name and name.startswith(shop.topic_prefix)]
    assert Deployment.of(shop, NAME).record() is None
