"""The Flink apps on a real cluster: their topics hold what Polars makes of the whole tables, whatever happened."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path
from random import Random
from typing import cast

import polars as pl
import pytest
from msgspec.structs import replace

from olist.changes import codec
from olist.contracts import Contract, Row
from olist.partitioner import partitions_of
from olist.settings import Settings
from olist.source import Dataset, iter_rows, load
from olist.stack.local import Stack
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    CUSTOMERS,
    ORDER_ITEMS,
    ORDER_PAYMENTS,
    ORDER_REVIEWS,
    ORDERS,
    PRODUCTS,
    SELLERS,
    TABLES,
    Order,
)
from olist.topics.reader import Consumed
from producers.generation.dataset import generate
from stream_apps.apps import order_documents, sales_by_hour, seller_scores
from stream_apps.deploy.supervisor import FlinkServers
from tests.flink_apps import RunningApps, expect
from tests.live_tables import LiveTables
from tests.oracles.files import tables
from tests.oracles.order_documents import documents
from tests.oracles.sales_by_hour import sales
from tests.oracles.seller_scores import scores
from tests.replayed import records as replayed_records
from tests.shops import records
from tests.written import Writer, envelope

pytestmark = pytest.mark.integration

REAL_DATA = Path(__file__).parents[3] / "shared" / "olist" / "brazilian-ecommerce.zip"
GENERATED_ORDERS = 3000
FEW_ORDERS = 300
APPS = (order_documents.APP, sales_by_hour.APP, seller_scores.APP)
READ = [contract for contract in TABLES.values() if any(contract in app.reads for app in APPS)]  # parents first
Oracle = Callable[[Mapping[str, pl.DataFrame]], pl.DataFrame]
ORACLES: dict[str, Oracle] = {"order_documents": documents, "sales_by_hour": sales, "seller_scores": scores}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real orders where they are at hand, else generated ones."""
    if REAL_DATA.exists():
        return REAL_DATA
    folder = tmp_path_factory.mktemp("derived") / "data"
    generate(folder, GENERATED_ORDERS, 1, lambda _done: None)
    return folder


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    """What the replayer reads of them. No oracle is asked with it: see `tests.oracles.files`."""
    return load(data)


@pytest.fixture
def shop(flink_stack: Stack, request: pytest.FixtureRequest) -> Settings:
    """Topics of the test's own."""
    return flink_stack.settings.model_copy(update={"topic_prefix": f"derived{request.node.name[:9]}.shop"})


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled plans of all tests."""
    return tmp_path_factory.mktemp("plans")


@pytest.fixture
def running(shop: Settings, tmp_path: Path, plans: Path) -> Iterator[RunningApps]:
    """All three apps, not yet started."""
    apps = RunningApps(shop, tmp_path, plans, APPS)
    yield apps
    apps.end()


def expect_all(settings: Settings, frames: Mapping[str, pl.DataFrame]) -> None:
    for app in APPS:
        expect(settings, app.writes, ORACLES[app.name](frames))


@pytest.mark.timeout(900)
def test_a_replay_ends_in_what_a_batch_makes_of_the_files(
    running: RunningApps, shop: Settings, dataset: Dataset, data: Path
) -> None:
    running.start()
    replay(shop, dataset)
    running.caught_up()
    expect_all(shop, tables(data))
    for app in APPS:
        found = records(shop, app.writes)
        expect_wire(shop, app.writes, found)


def replay(settings: Settings, dataset: Dataset) -> None:
    """Every change in the order of event time, all topics growing side by side."""
    writer, changes = Writer(settings), replayed_records(dataset)
    while block := list(islice(changes, 20_000)):
        for contract in READ:
            if here := [(key, value) for table, key, value in block if table == contract.table]:
                writer.raw(contract, here)


def expect_wire(settings: Settings, contract: Contract, found: list[Consumed]) -> None:
    """Keys, partitions, money and times are as the rest of the platform writes them."""
    keys = [bytes(record.key() or b"") for record in found]
    assert keys == [codec(contract).encode_key(codec(contract).decode_key(key)) for key in keys]
    placed = partitions_of(pl.Series([key.decode() for key in keys]), settings.partitions)
    assert [record.partition() for record in found] == placed.tolist()
    value = next(value for record in found if (value := record.value()) is not None).decode()
    money = [column.name for column in contract.columns if str(column.type).startswith("Money")]
    assert money
    for name in money:
        assert re.search(rf'"{name}":("-?\d+\.\d\d+"|null)', value), value
    assert re.search(r'"ts_ms":\d{13},.*"ts_us":\d{16},"ts_ns":\d{19}', value), value


def few(dataset: Dataset) -> dict[str, pl.DataFrame]:
    """The tables cut down to some orders and all that belongs to them."""
    frames = dict(dataset.frames)
    chosen = frames[ORDERS.table].sample(FEW_ORDERS, seed=5)
    frames[ORDERS.table] = chosen
    for contract in (ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS):
        frames[contract.table] = frames[contract.table].join(chosen, on=ORDERS.key, how="semi")
    frames[CUSTOMERS.table] = frames[CUSTOMERS.table].join(chosen, on=CUSTOMERS.key, how="semi")
    for contract in (PRODUCTS, SELLERS):
        frames[contract.table] = frames[contract.table].join(frames[ORDER_ITEMS.table], on=contract.key, how="semi")
    return frames


@pytest.mark.timeout(900)
def test_late_doubled_changed_and_deleted_parts_and_a_restart_and_kills_leave_no_trace(
    running: RunningApps, shop: Settings, dataset: Dataset, flink_stack: Stack
) -> None:
    running.start(parallelism={"order_documents": 2})
    live, source = LiveTables(shop, copies=2), few(dataset)

    # Children first, each record twice; then everything once more.
    for contract in reversed(READ):
        rows = list(iter_rows(contract, source[contract.table]))
        Random(3).shuffle(rows)
        live.put(contract, rows)
    expect_all(shop, live.frames())
    for contract in READ:
        live.put(contract, live.rows[contract.table].values())
    expect_all(shop, live.frames())

    live.copies = 1
    change_parts(live)
    expect_all(shop, live.frames())
    spoilt = spoil_parts(live, Writer(shop))
    expect_all(shop, live.frames())
    live.put(ORDER_ITEMS, spoilt)
    delete_parts(live)
    expect_all(shop, live.frames())

    savepoints = running.stop()
    reprice(live, "10.10")
    running.start(resume=savepoints)
    expect_all(shop, live.frames())

    for server, price in (("taskmanager", "20.20"), ("jobmanager", "30.30")):
        reprice(live, price)
        flink_stack.kill(server)  # with changes under way
        FlinkServers(shop).restart_crashed()  # as the supervisor does each second
        if server == "jobmanager":  # its jobs are forgotten with it
            running.start(resume=running.newest_checkpoints())
        expect_all(shop, live.frames())
        expect_none_repeated(records(shop, order_documents.ORDER_DOCUMENTS), price)


def change_parts(live: LiveTables) -> None:
    """Every kind of part changes what is derived from it; rows also move from one parent to another."""
    orders = [key[0] for key in sorted(live.rows[ORDERS.table])]
    other = cast(Order, live.rows[ORDERS.table][orders[1],])
    assert live.change(ORDERS, lambda row: row.order_id == orders[0], customer_id=other.customer_id)
    assert live.change(ORDERS, lambda row: row.order_id in orders[1:20], order_status="canceled")
    assert live.change(ORDERS, lambda row: row.order_id in orders[20:30], order_status="unavailable")
    assert live.change(CUSTOMERS, lambda row: row.customer_state == "SP", customer_state="RJ")
    products = sorted(live.rows[PRODUCTS.table])
    assert live.change(PRODUCTS, lambda row: row.product_id == products[0][0], product_category_name=None)
    assert live.change(PRODUCTS, lambda row: row.product_id == products[1][0], product_category_name="pc_gamer")
    assert live.change(
        CATEGORY_TRANSLATIONS, lambda row: row.product_category_name.startswith("c"), product_category_name_english="é"
    )
    sellers = sorted(live.rows[SELLERS.table])
    assert live.change(SELLERS, lambda row: row.seller_id == sellers[0][0], seller_city='são "joão" d\'oeste\\')
    assert live.change(ORDER_ITEMS, lambda row: row.seller_id == sellers[1][0], seller_id=sellers[0][0])
    assert live.change(ORDER_ITEMS, lambda row: row.order_item_id == 2, price=Decimal("0.05"))
    assert live.change(ORDER_PAYMENTS, lambda row: row.payment_type == "boleto", payment_value=Decimal("7.00"))
    assert live.change(ORDER_REVIEWS, lambda row: row.review_score == 1, review_score=5, review_comment_title=None)
    line = next(iter(live.rows[ORDER_ITEMS.table].values()))
    live.put(ORDER_ITEMS, [replace(line, order_item_id=number) for number in (12, 100, 3)])


def spoil_parts(live: LiveTables, writer: Writer) -> list[Row]:
    """Records that nobody can read: the rows they speak of are not known until they come again."""
    keys = sorted(live.rows[ORDER_ITEMS.table])[:2]
    rows = [live.rows[ORDER_ITEMS.table].pop(key) for key in keys]
    names = [codec(ORDER_ITEMS).encode_key(key) for key in keys]
    good = [envelope(ORDER_ITEMS, "u", row) for row in rows]
    no_price = re.sub(rb'"price":"[^"]+"', b'"price":"free"', good[1])
    assert no_price != good[1]
    strange_keys: list[bytes | None] = [b"junk", b"[]", b'{"order_id":null,"order_item_id":1}', b"{}"]
    writer.raw(ORDER_ITEMS, [*((key, good[0]) for key in strange_keys), (names[0], b"{junk"), (names[1], no_price)])
    return rows


def delete_parts(live: LiveTables) -> None:
    """Some of every table, orders with and without their parts."""
    chance = Random(9)
    for contract in READ:
        assert live.delete(contract, lambda _row: chance.random() < 0.1)
        live.delete(contract, lambda _row: chance.random() < 0.05, lone_tombstones=True)


def reprice(live: LiveTables, price: str) -> None:
    """Every item changes, so every order with items has something new to say."""
    assert live.change(ORDER_ITEMS, lambda _row: True, price=Decimal(price))


def expect_none_repeated(found: list[Consumed], price: str) -> None:
    """No value of a key that has the price is there twice: each change to it was written once."""
    priced = Counter(
        (record.key(), value)
        for record in found
        if (value := record.value()) is not None and f'"price":"{price}"'.encode() in value
    )
    assert priced
    assert set(priced.values()) == {1}
