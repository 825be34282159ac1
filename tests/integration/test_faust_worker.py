"""The Faust worker on a real Kafka: states and rows through kills, rebalances, pauses, bugs and new versions."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import Random

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from olist.clients.kafka import client_options
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import ORDER_ITEMS, ORDERS, Order, OrderItem
from olist.topics.admin import admin_client, delete_topics, ensure_topic, ensure_topics, topic_states
from olist.topics.reader import read
from stream_apps.faust.names import BY_KEY_CONFIG
from stream_apps.faust.repartition import purge
from stream_apps.loader import load_app
from tests.faust_workers import FaustWorker
from tests.shops import latest, records
from tests.waiting import wait_until
from tests.written import Writer

pytestmark = pytest.mark.integration

PARTITIONS = 3
_prefixes = count(1)

APP = '''
"""Sums per order what its items cost and how often it was changed: a state that a lost or repeated change shows in."""

from __future__ import annotations

import msgspec

from olist.contracts import Contract, Int, Price, Row, Str
from olist.tables import ORDER_ITEMS, ORDERS
from stream_apps.app import FaustApp, Input


class Tally(Row):
    order_id: Str
    changes: Int
    items: Int
    note: Str | None = None


TALLIES = Contract("tallies", Tally, key=("order_id",), targets=())


class State(msgspec.Struct):
    changes: int = 0
    items: dict[int, int] = {}


def fold(state, given, change):
    if given.contract is ORDERS:
        if change.row is not None and change.row.customer_id == "poisonous":
            raise ValueError("a bug in this app")
        return State(0 if change.row is None else state.changes + 1, state.items)
    if change.row is None:
        state.items.pop(change.key[1], None)
    else:
        state.items[change.key[1]] = state.items.get(change.key[1], 0) + 1
    return state


def rows(key, state, clock_us):
    if state.changes or state.items:
        yield TALLIES, Tally(key[1], state.changes, sum(state.items.values()), NOTE)


NOTE = None
APP = FaustApp(
    "tally", (Input(ORDERS, ("order_id",)), Input(ORDER_ITEMS, ("order_id",))), (TALLIES,), State, fold, rows
)
'''


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """The stack's, with topics of one's own; the inputs' topics are there."""
    prefix = f"worker{next(_prefixes)}.public"
    own = stack.settings.model_copy(
        update={"topic_prefix": prefix, "partitions": PARTITIONS, "session_timeout_ms": 6_000}
    )
    ensure_topics(own, [ORDERS, ORDER_ITEMS])
    return own


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The app's file."""
    path = tmp_path / "tally.py"
    path.write_text(APP)
    return path


def order(number: int, *, customer_id: str = "c") -> Order:
    return Order(f"o{number}", customer_id, "created", 0, None, None, None, 0)


def item(number: int, of: int) -> OrderItem:
    return OrderItem(f"o{number}", of, "p", "s", 0, 1, 1)  # type: ignore[arg-type] # whole prices


class Load:
    """Changes of orders and items, and how often each was changed."""

    def __init__(self, settings: Settings) -> None:
        self.writer, self.random = Writer(settings), Random(5)
        self.orders: Counter[str] = Counter()
        self.items: Counter[str] = Counter()

    def write(self, changes: int, orders: int = 300) -> None:
        """So many changes of each of the two topics."""
        some = [order(self.random.randrange(orders)) for _ in range(changes)]
        parts = [item(self.random.randrange(orders), self.random.randrange(3)) for _ in range(changes)]
        self.writer.create(ORDERS, some)
        self.writer.create(ORDER_ITEMS, parts)
        self.orders.update(row.order_id for row in some)
        self.items.update(row.order_id for row in parts)

    def delete(self, number: int) -> None:
        """An order, not its items."""
        self.writer.delete(ORDERS, order(number))
        del self.orders[f"o{number}"]

    @property
    def tallies(self) -> dict[str, tuple[int, int]]:
        """What the rows should be: changes, items."""
        return {key: (self.orders[key], self.items[key]) for key in self.orders.keys() | self.items.keys()}


def tallies(settings: Settings, app: Path) -> dict[str, tuple[int, int]]:
    """What the rows are."""
    (contract,) = load_app(app).outputs
    return {row["order_id"]: (row["changes"], row["items"]) for row in latest(settings, contract).to_dicts()}


def states(settings: Settings) -> dict[str, tuple[int, int]]:
    """What the state topic holds."""
    found: dict[str, tuple[int, int]] = {}
    for key, value in _records(settings, f"{settings.topic_prefix}.tally.state"):
        space, *rest = msgspec.json.decode(key)
        if space:
            continue  # the worker's own
        state = msgspec.json.decode(value)["state"] if value else {}
        found[rest[0]] = (state.get("changes", 0), sum(state.get("items", {}).values()))
    return found


def _records(settings: Settings, topic: str) -> Iterable[tuple[bytes, bytes | None]]:
    state = topic_states(admin_client(settings), [topic])[topic]
    for some in read(settings, topic, state.first, state.end):
        for record in some:
            yield record.key() or b"", record.value()


def committed(settings: Settings, topic: str) -> dict[int, int]:
    """The group's offsets."""
    reader = Consumer({**client_options(settings), "group.id": f"{settings.topic_prefix}.tally"})
    found = reader.committed([TopicPartition(topic, p) for p in range(settings.partitions)], timeout=30)
    reader.close()
    return {p.partition: max(0, p.offset) for p in found}


def expect(settings: Settings, app: Path, load: Load) -> None:
    """Until rows and states are what was written."""
    wait_until(lambda: tallies(settings, app) == load.tallies, "the right rows", within_s=120)
    assert states(settings) == load.tallies


def test_kills_and_rebalances_lose_and_double_nothing(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    with ExitStack() as running:
        first, second, third = (
            running.enter_context(FaustWorker(settings, "tally", tmp_path, name, app)) for name in ("a", "b", "c")
        )
        workers = [first, second, third]
        for turn in range(9):
            load.write(400)
            worker = workers[turn % 3]
            wait_until(lambda worker=worker: worker.status().phase == "running", "it to run")  # type: ignore[misc]
            if turn % 2:
                worker.kill()
            else:
                worker.stop()
            load.write(200)
            worker.start()
        expect(settings, app, load)


def test_a_worker_that_was_paused_while_another_took_over_ends(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    with (
        FaustWorker(settings, "tally", tmp_path, "a", app) as first,
        FaustWorker(settings, "tally", tmp_path, "b", app) as second,
    ):
        load.write(300)
        wait_until(lambda: bool(first.status().partitions and second.status().partitions), "both to work")
        load.write(500)
        first.send(signal.SIGSTOP)
        wait_until(lambda: len(second.status().partitions) == PARTITIONS, "the second one to take over")
        load.write(500)
        expect(settings, app, load)
        first.send(signal.SIGCONT)
        assert "did not run for" in first.wait_until_failed()
        load.write(300)
        first.start()
        expect(settings, app, load)


def test_a_bug_ends_the_worker_before_the_record_is_passed(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    load.write(100)
    load.writer.create(ORDERS, [order(7, customer_id="poisonous")])
    with FaustWorker(settings, "tally", tmp_path, "a", app) as worker:
        for _ in range(2):
            said = worker.wait_until_failed()
            assert "a bug in this app" in said
            assert "o7" in said
            worker.start()
        worker.wait_until_failed()
        app.write_text(APP.replace('== "poisonous"', '== "mended"'))
        load.orders["o7"] += 1
        worker.start()
        expect(settings, app, load)


def test_a_new_version_writes_all_rows_anew_and_keeps_the_states(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    load.write(300)
    with FaustWorker(settings, "tally", tmp_path, "a", app) as worker:
        expect(settings, app, load)
        worker.stop()
        app.write_text(APP.replace("NOTE = None", 'NOTE = "new"'))
        worker.start()
        (contract,) = load_app(app).outputs
        wait_until(lambda: set(latest(settings, contract)["note"]) == {"new"}, "all rows anew")
        load.write(50)
        expect(settings, app, load)


def test_a_state_that_the_new_version_cannot_read_stops_it(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    load.write(50)
    with FaustWorker(settings, "tally", tmp_path, "a", app) as worker:
        expect(settings, app, load)
        worker.stop()
        app.write_text(APP.replace("changes: int = 0", "changes: str = ''"))
        worker.start()
        assert "does not fit this version" in worker.wait_until_failed()
        app.write_text(APP)
        worker.start()
        load.write(50)
        expect(settings, app, load)


def test_deleted_orders_leave_and_come_back(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    load.write(200, orders=50)
    with FaustWorker(settings, "tally", tmp_path, "a", app) as worker:
        expect(settings, app, load)
        for number in range(20):
            load.delete(number)
        expect(settings, app, load)
        worker.kill()
        load.write(100, orders=50)
        worker.start()
        expect(settings, app, load)


def test_a_topic_made_anew_stops_the_worker(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    load.write(50)
    with FaustWorker(settings, "tally", tmp_path, "a", app) as worker:
        expect(settings, app, load)
        worker.stop()
        delete_topics(settings, [ORDERS.topic(settings.topic_prefix)])
        ensure_topics(settings, [ORDERS])
        worker.start()
        assert "another one than the one" in worker.wait_until_failed()


def test_too_many_undecodable_records_stop_the_worker(settings: Settings, app: Path, tmp_path: Path) -> None:
    few = settings.model_copy(update={"dead_letter_limit": 5})
    load = Load(few)
    load.write(20)
    topic = ORDERS.topic(few.topic_prefix)
    load.writer.to(topic, [(b'{"order_id":"x"}', b"{") for _ in range(20)])
    with FaustWorker(few, "tally", tmp_path, "a", app) as worker:
        assert "TooManyDeadLetters" in worker.wait_until_failed()
        end = topic_states(admin_client(few), [topic])[topic].end
        assert any(committed(few, topic)[p] < end[p] for p in end)


def test_rows_that_do_not_change_are_not_written_again(settings: Settings, app: Path, tmp_path: Path) -> None:
    load = Load(settings)
    load.write(50)
    (contract,) = load_app(app).outputs
    with FaustWorker(settings, "tally", tmp_path, "a", app) as worker:
        expect(settings, app, load)
        worker.stop()
        written = len(records(settings, contract))
        worker.start()
        load.writer.delete(ORDERS, order(10**6))
        worker.wait_for(2)
        worker.stop()
        assert len(records(settings, contract)) == written


def test_forwarded_records_are_deleted_once_they_are_taken(settings: Settings) -> None:
    cut = f"{settings.topic_prefix}.tally.by-key"
    ensure_topic(settings, cut, BY_KEY_CONFIG, PARTITIONS)
    Writer(settings).to(cut, [(b"%d" % number, b"{}") for number in range(100)])
    end = topic_states(admin_client(settings), [cut])[cut].end
    purge(settings, cut, {0: end[0] - 1, 1: end[1]})
    left = topic_states(admin_client(settings), [cut])
    assert left[cut].first == {0: end[0] - 1, 1: end[1], 2: 0}
