"""Order lifecycles on a real Kafka: the oracle's rows and alerts, whatever happens to topics and workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import Random

import polars as pl
import pytest

from olist.contracts import Contract
from olist.settings import Settings
from olist.source import load
from olist.stack.local import Stack
from olist.tables import ORDER_ITEMS, ORDERS
from olist.topics.admin import ensure_topics
from producers.generation.dataset import generate
from stream_apps.apps.order_lifecycle import ORDER_ALERTS, ORDER_LIFECYCLE
from tests.faust_workers import FaustWorker
from tests.oracles.order_lifecycle import alerts, lifecycles
from tests.replayed import records
from tests.shops import latest
from tests.waiting import wait_until
from tests.written import Writer

pytestmark = pytest.mark.integration

REAL_DATA = Path(__file__).parents[3] / "shared" / "olist" / "brazilian-ecommerce.zip"
APP = "order_lifecycle"
SLICE = 400
READ = {contract.table: contract for contract in (ORDERS, ORDER_ITEMS)}
_prefixes = count(1)

Records = list[tuple[bytes | None, bytes | None]]


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """The stack's, with topics of one's own."""
    own = stack.settings.model_copy(update={"topic_prefix": f"lifecycle{next(_prefixes)}.public", "partitions": 3})
    ensure_topics(own, READ.values())
    return own


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("orders") / "data"
    generate(folder, 1_000, 3, lambda _done: None)
    return folder


def topics(data: Path) -> dict[str, Records]:
    """What the topics that the app reads hold, each in its order."""
    found: dict[str, Records] = {table: [] for table in READ}
    for table, key, value in records(load(data)):
        if table in found:
            found[table].append((key, value))
    return found


def shuffled(by_table: dict[str, Records], seed: int) -> Iterator[tuple[str, Records]]:
    """Slices of topics that come in no order among each other; one record in ten is there twice."""
    chance = Random(seed)
    doubled = {table: [r for r in some for _ in range(1 + (chance.random() < 0.1))] for table, some in by_table.items()}
    slices = {table: [some[at : at + SLICE] for at in range(0, len(some), SLICE)] for table, some in doubled.items()}
    turns = [table for table, some in slices.items() for _ in some]
    chance.shuffle(turns)
    left = {table: iter(some) for table, some in slices.items()}
    return ((table, next(left[table])) for table in turns)


def rows(settings: Settings, contract: Contract) -> list[dict[str, object]]:
    """The latest rows, by key."""
    return latest(settings, contract).with_columns(pl.col(pl.Datetime).dt.epoch("us")).to_dicts()


def expect(settings: Settings, data: Path) -> None:
    """Until both outputs are the oracle's."""
    of_alerts, of_orders = alerts(data).to_dicts(), lifecycles(data).to_dicts()
    assert of_alerts
    wait_until(lambda: rows(settings, ORDER_LIFECYCLE) == of_orders, "the oracle's lifecycles", within_s=200)
    wait_until(lambda: rows(settings, ORDER_ALERTS) == of_alerts, "the oracle's alerts", within_s=60)


@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real data set is not here")
def test_the_real_orders_give_the_oracles_rows_and_a_restart_changes_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    writer = Writer(settings)
    for table, some in topics(REAL_DATA).items():
        writer.to(READ[table].topic(settings.topic_prefix), some)
    with FaustWorker(settings, APP, tmp_path) as worker:
        expect(settings, REAL_DATA)
        worker.stop()
        worker.start()
        worker.wait_until_idle()
        worker.stop()
    assert rows(settings, ORDER_ALERTS) == alerts(REAL_DATA).to_dicts()
    assert rows(settings, ORDER_LIFECYCLE) == lifecycles(REAL_DATA).to_dicts()


@pytest.mark.parametrize("seed", [1, 2])
def test_shuffled_topics_repeats_and_kills_change_nothing(
    settings: Settings, data: Path, tmp_path: Path, seed: int
) -> None:
    writer, chance = Writer(settings), Random(seed)
    with ExitStack() as running:
        workers = [running.enter_context(FaustWorker(settings, APP, tmp_path, name)) for name in ("a", "b")]
        for turn, (table, some) in enumerate(shuffled(topics(data), seed)):
            writer.to(READ[table].topic(settings.topic_prefix), some)
            worker = workers[turn % 2]
            if chance.random() < 0.5:
                wait_until(lambda worker=worker: worker.status().phase == "running", "it to run")  # type: ignore[misc]
                worker.kill() if chance.random() < 0.6 else worker.stop()
                worker.start()
        expect(settings, data)


def test_deletes_and_poison_leave_what_is_left(settings: Settings, data: Path, tmp_path: Path) -> None:
    writer = Writer(settings)
    by_table = topics(data)
    for table, some in by_table.items():
        writer.to(READ[table].topic(settings.topic_prefix), some)
    writer.to(ORDERS.topic(settings.topic_prefix), [(b'{"order_id":"x"}', b"{"), (b"{", None)])
    with FaustWorker(settings, APP, tmp_path) as worker:
        expect(settings, data)
        assert sum(worker.status().dead_letters.values()) == 2
        for table in READ:
            keys = dict.fromkeys(key for key, _value in by_table[table])
            writer.to(READ[table].topic(settings.topic_prefix), [(key, None) for key in keys])
        wait_until(lambda: not rows(settings, ORDER_LIFECYCLE) and not rows(settings, ORDER_ALERTS), "no rows")
