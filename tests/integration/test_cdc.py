"""The shop's changes by way of PostgreSQL and Debezium: the same as by the direct road, whatever happens to a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from olist.batches import OFFSET, OP, PARTITION, Batch
from olist.changes import decode_envelope
from olist.contracts import Contract
from olist.errors import Stopped
from olist.settings import Settings
from olist.source import Dataset, load
from olist.source.typed import ColumnNames
from olist.stack.local import Stack
from olist.tables import ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS, ORDERS
from producers.generation.dataset import generate
from producers.kafka_producer import Sender
from producers.progress import Progress
from producers.rate import Pace
from producers.replay import Run as DirectRun
from producers.replay import make_plan as direct_plan
from producers.sequence import sequence
from producers.shop.migrate import migrate, migrations
from producers.shop.replay import Run as ShopRun
from producers.shop.replay import empty, make_plan, name_of
from producers.shop.transactions import transactions
from producers.shop.writer import Writer
from tests.shops import (
    WITHIN_S,
    CapturedShop,
    batch,
    batches,
    contracts,
    latest,
    records,
    records_of_all,
    shop_settings,
    source_rows,
    unlike_histories,
    unlike_the_shop,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

ORDERS_MADE = 400
ORDER, REVIEW, PAYMENT = ColumnNames(ORDERS), ColumnNames(ORDER_REVIEWS), ColumnNames(ORDER_PAYMENTS)
DAY = "2018-01-02 12:00:00"
A_CUSTOMER = "insert into customers values ('{0}', 'u', '01001', 'são paulo', 'SP')"
AN_ORDER = f"insert into orders values ('{{0}}', '{{0}}', 'created', '{DAY}', null, null, null, '{DAY}')"
A_REVIEW = "insert into order_reviews values ('{0}', '{0}', {1}, null, {2}, '2018-01-03', null)"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("cdc") / "data"
    generate(folder, ORDERS_MADE, 7, lambda _done: None)
    return load(folder)


@pytest.fixture(scope="module")
def replayed(connect_stack: Stack, dataset: Dataset) -> Iterator[CapturedShop]:
    """A shop into which the data set was replayed in three runs, and captured."""
    with CapturedShop(shop_settings(connect_stack.settings, "replayed")) as shop:
        shop.capture()
        written = shop.replay(dataset, limit=1000) + shop.replay(dataset, limit=333) + shop.replay(dataset)
        assert written == sequence(dataset.frames).height
        shop.wait()
        yield shop


@pytest.fixture(scope="module")
def direct(stack: Stack, dataset: Dataset) -> Settings:
    """The settings of topics that hold the same data set by the direct road."""
    settings = stack.settings.model_copy(update={"topic_prefix": "direct.public"})
    plan = direct_plan(dataset, settings, tuple(contracts()), None)
    sender = Sender(settings, linger_ms=5)
    DirectRun(plan, sender, Pace(), Progress(total=plan.changes.height)).go()
    return settings


@pytest.fixture(scope="module")
def shop(connect_stack: Stack) -> Iterator[CapturedShop]:
    """A shop that is captured from its beginning."""
    with CapturedShop(shop_settings(connect_stack.settings, "odd")) as made:
        made.capture()
        yield made


def placed(shop: CapturedShop, name: str) -> None:
    """A customer and an order of one name."""
    shop.run(A_CUSTOMER.format(name), AN_ORDER.format(name))


def changes_of(shop: CapturedShop, contract: Contract, key: str) -> list[tuple[str, dict[str, object] | None]]:
    """Op and after-image of each change whose key holds a text, in order; a tombstone is ``-``."""
    found = [r for r in records(shop.settings, contract) if key.encode() in (r.key() or b"")]
    shown = []
    for record in sorted(found, key=lambda r: (r.partition(), r.offset())):
        value = record.value()
        envelope = None if value is None else decode_envelope(value)
        image = envelope.after if envelope else None
        shown.append((envelope.op if envelope else "-", image if isinstance(image, dict) else None))
    return shown


def test_both_roads_give_the_same_changes_of_every_key(replayed: CapturedShop, direct: Settings) -> None:
    assert unlike_histories(replayed.settings, direct) == []
    assert all(found.frame.height for found in batches(direct).values())


def test_the_shop_holds_what_its_topics_say(replayed: CapturedShop) -> None:
    assert unlike_the_shop(replayed) == []


def test_both_roads_put_every_key_into_the_same_partition(replayed: CapturedShop, direct: Settings) -> None:
    roads = [records_of_all(settings, contracts()) for settings in (replayed.settings, direct)]
    ways = [{(table, r.key()): r.partition() for table, some in road.items() for r in some} for road in roads]
    assert ways[0] == ways[1]


def test_the_migrated_schema_is_what_the_contracts_say(replayed: CapturedShop) -> None:
    types = {"text": "text", "integer": "int", "numeric": "money", "timestamp without time zone": "time"}
    with replayed.connect() as connection:
        for contract in contracts():
            rows = connection.execute(
                "select column_name, is_nullable = 'YES', data_type from information_schema.columns"
                " where table_schema = 'public' and table_name = %s order by ordinal_position",
                [contract.table],
            ).fetchall()
            assert [(name, null) for name, null, _type in rows] == [(c.name, c.nullable) for c in contract.columns]
            assert {kind for *_, kind in rows} <= {*types, "double precision"}


def test_a_replay_that_is_complete_has_nothing_to_do(replayed: CapturedShop, dataset: Dataset) -> None:
    assert replayed.replay(dataset) == 0


def test_applying_again_changes_nothing(replayed: CapturedShop) -> None:
    before = replayed.client.status(replayed.name)
    assert replayed.capture() == [f"{replayed.name}: nothing to change"]
    assert replayed.client.status(replayed.name) == before


def test_a_changed_setting_is_shown_and_applied_without_a_gap(connect_stack: Stack, dataset: Dataset) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "changed")) as shop:
        shop.capture()
        first = shop.replay(dataset, limit=500)
        said = shop.capture(poll__interval__ms="60")
        assert "~ poll.interval.ms = 50 -> 60" in said[0]
        second = shop.replay(dataset, limit=500)
        shop.wait()
        assert unlike_the_shop(shop) == []
        assert sum(found.frame.height for found in batches(shop.settings).values()) == first + second > first > 0


def test_a_replay_writes_nothing_more_once_its_progress_is_not_its_own(connect_stack: Stack, dataset: Dataset) -> None:
    settings = shop_settings(connect_stack.settings, "taken")
    with ThreadPoolExecutor(2) as pool:
        assert sorted(map(len, pool.map(migrate, [settings] * 2))) == [0, len(migrations())]  # two make the database
    with CapturedShop(settings) as shop, shop.connect() as connection:
        one, other = (make_plan(dataset, shop.settings, 1000) for _ in range(2))  # two first runs at once
        ShopRun(shop.settings, one, Pace(), Progress(total=one.changes.height)).go()
        held = {c.table: source_rows(shop, c) for c in contracts()}
        with pytest.raises(Stopped, match="another replay writes to this shop"):
            Writer(connection).write(name_of(dataset), transactions(dataset.frames, other.changes, other.done))
        rest = make_plan(dataset, shop.settings, None)
        due = transactions(dataset.frames, rest.changes, rest.done)
        for change in ("set seq = seq - 1", "set seq = seq + 1, fingerprint = 'another.1'"):
            shop.run(f"update replay_progress {change}")
            with pytest.raises(Stopped, match="another replay writes to this shop"):
                Writer(connection).write(name_of(dataset), due)
        with pytest.raises(Stopped, match=r"the shop holds another data set: another\.1"):
            make_plan(dataset, shop.settings, None)
        shop.run("delete from replay_progress")
        with pytest.raises(Stopped, match="another replay writes to this shop"):
            Writer(connection).write(name_of(dataset), due)
        assert all(source_rows(shop, c).equals(held[c.table]) for c in contracts())


def test_a_replay_from_the_start_ends_the_one_that_is_under_way(connect_stack: Stack, dataset: Dataset) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "again")) as shop:
        plan = make_plan(dataset, shop.settings, None)
        progress = Progress(total=plan.changes.height)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(ShopRun(shop.settings, plan, Pace(rate=1000), progress).go)
            wait_until(lambda: progress.acknowledged > 0, "the first transaction")
            empty(shop.settings)
            assert isinstance(running.exception(WITHIN_S), Stopped)
        assert all(source_rows(shop, c).height == 0 for c in contracts())
        assert shop.replay(dataset) == plan.changes.height
        assert all(source_rows(shop, c).height == dataset.frames[c.table].height for c in contracts())


def test_rows_that_were_there_before_the_connector_come_by_a_snapshot(connect_stack: Stack, dataset: Dataset) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "before")) as shop:
        shop.replay(dataset, limit=2000)
        said = shop.capture()
        assert "asked for an incremental snapshot" in said[-1]
        shop.wait_for_snapshot()
        assert shop.capture() == [f"{shop.name}: nothing to change"]  # and does not ask again
        assert unlike_the_shop(shop) == []


def test_an_incremental_snapshot_while_changes_go_on_ends_with_equal_rows(
    connect_stack: Stack, dataset: Dataset
) -> None:
    from connect.capture import ask_for_snapshot

    with CapturedShop(shop_settings(connect_stack.settings, "busy")) as shop:
        shop.capture(incremental__snapshot__chunk__size="1")
        shop.replay(dataset, limit=1800)
        shop.wait()
        ask_for_snapshot(shop.settings, [ORDERS, ORDER_REVIEWS, ORDER_ITEMS])
        shop.replay(dataset, rate=1500)
        shop.run("delete from order_items where order_item_id > 1")
        shop.wait_for_snapshot()
        assert unlike_the_shop(shop) == []  # the latest rows on the topics are the shop's
        assert changes_between_snapshot_rows(batch(shop.settings, ORDERS)) > 0


def changes_between_snapshot_rows(found: Batch) -> int:
    """How many changes stand between the first and the last row of a snapshot, over all partitions."""
    read = pl.col(OP) == "r"
    offsets = pl.col(OFFSET)
    between = offsets.is_between(offsets.filter(read).min(), offsets.filter(read).max()) & ~read
    return int(found.frame.group_by(PARTITION).agg(between.sum().alias("between"))["between"].sum())


def test_a_delete_is_a_delete_and_a_tombstone(shop: CapturedShop) -> None:
    placed(shop, "gone")
    shop.run("delete from orders where order_id = 'gone'")
    shop.wait()
    assert [op for op, _ in changes_of(shop, ORDERS, "gone")] == ["c", "d", "-"]
    assert "gone" not in latest(shop.settings, ORDERS)[ORDER.order_id]


def test_a_changed_key_deletes_the_old_row_and_creates_the_new_one_with_its_children(shop: CapturedShop) -> None:
    placed(shop, "old-key")
    shop.run(
        "insert into order_payments values ('old-key', 1, 'voucher', 1, 10.00)",
        "update orders set order_id = 'new-key' where order_id = 'old-key'",
    )
    shop.wait()
    assert [op for op, _ in changes_of(shop, ORDERS, "old-key")] == ["c", "d", "-"]
    assert [op for op, _ in changes_of(shop, ORDERS, "new-key")] == ["c"]
    payments = latest(shop.settings, ORDER_PAYMENTS).filter(pl.col(PAYMENT.order_id).str.ends_with("-key"))
    assert payments[PAYMENT.order_id].to_list() == ["new-key"]


def test_a_rolled_back_transaction_leaves_nothing(shop: CapturedShop) -> None:
    shop.run(f"begin; {A_CUSTOMER.format('undone')}; {AN_ORDER.format('undone')}; rollback")
    shop.wait()
    assert changes_of(shop, ORDERS, "undone") == []


def test_a_truncate_is_left_out_and_the_connector_runs_on(shop: CapturedShop) -> None:
    placed(shop, "kept")
    shop.run("insert into order_payments values ('kept', 1, 'voucher', 1, 10.00)", "truncate order_payments")
    shop.run("insert into order_payments values ('kept', 2, 'voucher', 1, 20.00)")
    shop.wait()
    assert [op for op, _ in changes_of(shop, ORDER_PAYMENTS, '"kept"')] == ["c", "c"]


def test_a_long_text_that_an_update_leaves_alone_is_whole_on_the_topic(shop: CapturedShop) -> None:
    placed(shop, "long")
    # Random enough that PostgreSQL stores it outside of the row, compressed or not.
    text = "(select string_agg(md5(n::text), '') from generate_series(1, 400) n)"
    shop.run(A_REVIEW.format("long", 5, text), "update order_reviews set review_score = 1 where review_id = 'long'")
    shop.wait()
    (_, created), (_, updated) = changes_of(shop, ORDER_REVIEWS, "long")
    assert created
    assert updated
    message = REVIEW.review_comment_message
    assert len(str(created[message])) == 400 * 32
    assert updated == created | {REVIEW.review_score: 1}


def test_emoji_quotes_and_control_characters_survive(shop: CapturedShop) -> None:
    placed(shop, "odd")
    shop.run(A_REVIEW.format("odd", 5, r"E'👍🏽 \"q\"\r\n\\ \x07 \u2028'"))
    shop.wait()
    row = latest(shop.settings, ORDER_REVIEWS).filter(pl.col(REVIEW.review_id) == "odd")
    assert row[REVIEW.review_comment_message].to_list() == ['👍🏽 "q"\r\n\\ \x07 \u2028']


def test_a_column_that_the_contract_does_not_know_is_counted_and_nothing_stops(connect_stack: Stack) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "added")) as shop:
        shop.capture()
        placed(shop, "a1")
        shop.run(
            "alter table orders add column sales_channel text",
            "update orders set order_status = 'approved', sales_channel = 'app' where order_id = 'a1'",
        )
        placed_with = "insert into orders values ('a2', 'a1', 'created', now(), null, null, null, now(), 'web')"
        shop.run(placed_with)
        shop.wait()
        found = batch(shop.settings, ORDERS)
        assert dict(found.unknown) == {"sales_channel": 2}
        assert not found.rejected
        assert latest(shop.settings, ORDERS)[ORDER.order_id].to_list() == ["a1", "a2"]


class Shelf:
    """Documents by id, in memory."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, object]] = {}

    def write(self, documents: Sequence[dict[str, object]]) -> None:
        self.held |= {repr(one["_id"]): dict(one) for one in documents}


def test_reviews_that_live_elsewhere_are_whole_there_and_not_in_the_shop(
    connect_stack: Stack, dataset: Dataset
) -> None:
    shelf = Shelf()
    with CapturedShop(shop_settings(connect_stack.settings, "elsewhere")) as shop:
        for limit in (1500, None):
            plan = make_plan(dataset, shop.settings, limit)
            ShopRun(shop.settings, plan, Pace(), Progress(total=plan.changes.height), reviews=shelf).go()
        assert source_rows(shop, ORDER_REVIEWS).height == 0
        assert source_rows(shop, ORDERS).height == ORDERS_MADE
    rows = [{name: one[name] for name in dataset.frames[ORDER_REVIEWS.table].columns} for one in shelf.held.values()]
    found = pl.DataFrame(rows, schema=dataset.frames[ORDER_REVIEWS.table].schema)
    assert found.sort(ORDER_REVIEWS.key).equals(dataset.frames[ORDER_REVIEWS.table].sort(ORDER_REVIEWS.key))
