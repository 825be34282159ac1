"""kill -9 of every server on the road from shop to targets, while the shop is busy: each change exactly once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from connect.capture import ask_for_snapshot
from connect.connect_client import until_running
from olist.batches import OP
from olist.settings import Settings
from olist.source import Dataset, load
from olist.stack.local import Stack
from olist.tables import ORDERS
from producers.generation.dataset import generate
from producers.kafka_producer import Sender
from producers.progress import Progress
from producers.rate import Pace
from producers.replay import Run
from producers.replay import make_plan as direct_plan
from producers.shop.replay import Run as ShopRun
from producers.shop.replay import make_plan
from sinks.base import TARGETS
from tests.faults.shop import Shop
from tests.shops import WITHIN_S, CapturedShop, batch, contracts, shop_settings, unlike_histories, unlike_the_shop
from tests.waiting import wait_until

pytestmark = pytest.mark.faults

ORDERS_MADE = 300
RATE = 400.0  # orders' changes a second, slow enough to be killed in between
_names = count()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cdc-faults") / "data"
    generate(folder, ORDERS_MADE, 3, lambda _done: None)
    return folder


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return load(data)


@pytest.fixture(scope="module")
def direct(stack: Stack, dataset: Dataset) -> Settings:
    """The same data set by the direct road."""
    settings = stack.settings.model_copy(update={"topic_prefix": "directfaults.public"})
    plan = direct_plan(dataset, settings, tuple(contracts()), None)
    Run(plan, Sender(settings, linger_ms=5), Pace(), Progress(total=plan.changes.height)).go()
    return settings


@pytest.fixture
def shop(connect_stack: Stack) -> Iterator[CapturedShop]:
    with CapturedShop(shop_settings(connect_stack.settings, f"deaths{next(_names)}")) as made:
        made.capture()
        yield made


@pytest.fixture
def sinks(shop: CapturedShop, data: Path, tmp_path: Path) -> Iterator[Shop]:
    """The three sinks as processes, carrying the captured topics to targets that were empty.

    They have begun to read: a sink that finds no Kafka when it starts says so and ends.
    """
    made = Shop(shop.settings, data, tmp_path, random.Random(3))
    made.empty_targets()
    started = [made.sink(target) for target in TARGETS]
    wait_until(lambda: all("assigned" in sink.said() for sink in started), "the sinks' partitions")
    yield made
    made.close()
    made.empty_targets()


def committed(progress: Progress, changes: int) -> bool:
    return progress.acknowledged >= changes


@pytest.mark.parametrize("victim", ["connect", "postgres", "kafka"])
def test_no_change_is_lost_or_doubled_when_a_server_dies_during_the_replay(
    connect_stack: Stack, shop: CapturedShop, sinks: Shop, dataset: Dataset, direct: Settings, victim: str
) -> None:
    whole = make_plan(dataset, shop.settings, None).changes.height
    quick = whole - 2400  # the catalogue, and a few orders
    shop.replay(dataset, limit=quick)
    plan = make_plan(dataset, shop.settings, None)
    progress = Progress(total=plan.changes.height)
    with ThreadPoolExecutor(1) as pool:
        replay = pool.submit(ShopRun(shop.settings, plan, Pace(rate=RATE), progress).go)
        for changes in (300, 1200):
            wait_until(partial(committed, progress, changes), f"{changes} changes")
            connect_stack.kill(victim)
            connect_stack.start(victim)
        replay.result(WITHIN_S)
    until_running(shop.client, shop.name)
    shop.wait()
    assert unlike_histories(shop.settings, direct) == []
    assert unlike_the_shop(shop) == []
    sinks.assert_all_equal()


def test_a_replay_that_is_killed_goes_on_after_its_last_commit(
    shop: CapturedShop, data: Path, dataset: Dataset, direct: Settings
) -> None:
    arguments = [sys.executable, "-m", "olist", "replay", "--to", "postgres", "--data", str(data)]
    catalogue = make_plan(dataset, shop.settings, None).changes.height - 2400
    for past in (catalogue + 300, catalogue + 900):
        with subprocess.Popen([*arguments, "--rate", "1000"], env=shop.settings.environment()) as replaying:
            written(shop, past)
            replaying.kill()
    subprocess.run(arguments, env=shop.settings.environment(), check=True, timeout=WITHIN_S)
    shop.wait()
    assert unlike_histories(shop.settings, direct) == []
    assert unlike_the_shop(shop) == []


def written(shop: CapturedShop, changes: int) -> None:
    """Wait until so many changes are in the shop."""
    with shop.connect() as connection:

        def there() -> bool:
            row = connection.execute("select seq from replay_progress").fetchone()
            return row is not None and row[0] >= changes

        wait_until(there, f"{changes} changes in the shop")


def test_an_incremental_snapshot_goes_on_after_its_worker_is_killed_and_repeats_no_row(
    connect_stack: Stack, dataset: Dataset
) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "resnapshot")) as shop:
        shop.capture(incremental__snapshot__chunk__size="1")
        shop.replay(dataset)
        shop.wait()
        ask_for_snapshot(shop.settings, [ORDERS])
        wait_until(lambda: read_again(shop) > 0, "the first rows of the snapshot")
        connect_stack.kill("connect")
        connect_stack.start("connect")
        until_running(shop.client, shop.name)
        shop.wait_for_snapshot()
        assert read_again(shop) == ORDERS_MADE
        assert unlike_the_shop(shop) == []


def read_again(shop: CapturedShop) -> int:
    """How many orders came by a snapshot."""
    return batch(shop.settings, ORDERS).frame[OP].to_list().count("r")
