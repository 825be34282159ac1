"""Review signals and quality checks on a real Kafka: the oracles' rows, whatever happens to records and workers."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from olist.batches import META, OP, decode_batch, frame_schema
from olist.contracts import Contract
from olist.settings import Settings
from olist.source import load
from olist.stack.local import Stack
from olist.tables import ORDER_REVIEWS, ORDERS, TABLES
from olist.topics.admin import admin_client, ensure_topics, topic_state
from olist.topics.broker import Broker
from olist.topics.reader import read
from producers.generation.dataset import generate
from stream_apps.apps.quality import VIOLATIONS
from stream_apps.apps.review_signals import REVIEW_SIGNALS
from tests.faust_workers import FaustWorker, workers
from tests.oracles.quality import violations
from tests.oracles.review_signals import signals
from tests.replayed import records
from tests.shops import latest
from tests.waiting import wait_until
from tests.written import Writer

pytestmark = pytest.mark.integration

REAL_DATA = Path(__file__).parents[3] / "shared" / "olist" / "brazilian-ecommerce.zip"
SLICE = 150  # records of one topic that are written together when topics are shuffled
_prefixes = count(1)

Written = tuple[str, bytes | None, bytes | None]
"""A table's name, a record's key and value."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("row-apps") / "data"
    generate(folder, 1200, 1, lambda _done: None)
    return folder


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """The stack's, with topics of one's own; every shop topic is there."""
    own = stack.settings.model_copy(update={"topic_prefix": f"rowapps{next(_prefixes)}.public", "partitions": 3})
    ensure_topics(own, TABLES.values())
    return own


@pytest.fixture
def writer(settings: Settings) -> Writer:
    return Writer(settings)


def slices(written: Sequence[Written], seed: int) -> Iterator[list[Written]]:
    """All records, each topic in its own order, in slices whose topics are shuffled; one in ten is written twice."""
    chance = random.Random(seed)
    by_table: dict[str, list[Written]] = {}
    for record in written:
        by_table.setdefault(record[0], []).extend([record] * (2 if chance.random() < 0.1 else 1))
    parts = {table: [some[at : at + SLICE] for at in range(0, len(some), SLICE)] for table, some in by_table.items()}
    turns = [table for table, some in parts.items() for _ in some]
    chance.shuffle(turns)
    left = {table: iter(some) for table, some in parts.items()}
    return (next(left[table]) for table in turns)


def write(writer: Writer, some: Sequence[Written]) -> None:
    """Records of one table."""
    topic = TABLES[some[0][0]].topic(writer.settings.topic_prefix)
    writer.to(topic, [(key, value) for _table, key, value in some])


class Output:
    """The latest rows of an output. Each look reads on from where the one before it ended."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self.settings, self.contract, self.topic = settings, contract, contract.topic(settings.topic_prefix)
        self._next: dict[int, int] = {}
        self._changes = pl.DataFrame(schema=frame_schema(contract))

    def rows(self) -> list[dict[str, object]]:
        """By key, without the deleted ones and those that tell of undecodable records."""
        self._read_on()
        found = self._changes.filter(pl.col(OP) != "d").drop(META).sort(self.contract.key)
        if self.contract is VIOLATIONS:
            found = found.filter(pl.col("check_name") != "undecodable").select(*self.contract.key, "opened_at")
        return found.with_columns(pl.col(pl.Datetime).dt.epoch("us")).to_dicts()

    def _read_on(self) -> None:
        if self.topic not in Broker(self.settings).names():
            return  # the worker makes it
        state = topic_state(admin_client(self.settings), self.topic)
        for some in read(self.settings, self.topic, {**state.first, **self._next}, state.end):
            batch = decode_batch(self.contract, self.topic, some, self.settings.partitions)
            assert not batch.rejected, [str(rejected.error) for rejected in batch.rejected[:3]]
            changes = pl.concat([self._changes, batch.frame])
            self._changes = changes.unique(subset=self.contract.key, keep="last", maintain_order=True)
        self._next = state.end

    def expect(self, expected: pl.DataFrame) -> None:
        """Until the output holds these rows and no others."""
        wanted = expected.to_dicts()
        assert wanted
        wait_until(lambda: len(self.rows()) == len(wanted), f"{len(wanted)} rows of {self.contract.table}")
        wait_until(lambda: self.rows() == wanted, f"the oracle's rows of {self.contract.table}", within_s=60)


ORACLES = {"review_signals": (REVIEW_SIGNALS, signals), "quality": (VIOLATIONS, violations)}


@pytest.mark.parametrize("app", ORACLES)
@pytest.mark.skipif(not REAL_DATA.exists(), reason="the real data set is not here")
def test_the_real_shop_gives_the_oracles_rows(settings: Settings, tmp_path: Path, app: str) -> None:
    contract, oracle = ORACLES[app]
    output, expected = Output(settings, contract), oracle(REAL_DATA)
    command = [sys.executable, "-c", "from olist.cli.main import main; main()", "replay", "--data", str(REAL_DATA)]
    subprocess.run(command, env=settings.environment(), check=True, capture_output=True, timeout=200)
    with FaustWorker(settings, app, tmp_path) as worker:
        worker.wait_until_done()
        output.expect(expected)
        worker.stop()
    assert output.rows() == expected.to_dicts()


@pytest.mark.parametrize("app", ORACLES)
def test_shuffled_topics_repeats_and_kills_change_nothing(
    settings: Settings, writer: Writer, data: Path, tmp_path: Path, app: str
) -> None:
    contract, oracle = ORACLES[app]
    parts = list(slices(list(records(load(data))), 7))
    with workers(settings, app, tmp_path, 2) as (first, second):
        for number, part in enumerate(parts):
            write(writer, part)
            if number == len(parts) // 3:
                wait_until(lambda: first.status().events + second.status().events >= 500, f"{app} to be under way")
                first.kill()
            if number == len(parts) // 2:
                first.start()
            if number == len(parts) * 2 // 3:
                second.stop()
        second.start()
        first.wait_until_idle()
        second.wait_until_idle()
        Output(settings, contract).expect(oracle(data))


@pytest.mark.parametrize("app", ORACLES)
def test_a_poisoned_topic_holds_nothing_up(
    settings: Settings, writer: Writer, data: Path, tmp_path: Path, app: str
) -> None:
    contract, oracle = ORACLES[app]
    poison: list[Written] = [
        (ORDERS.table, b'{"order_id":"x"}', b"{"),
        (ORDERS.table, b"[]", b"{}"),
        (ORDER_REVIEWS.table, b"\xff", None),
    ]
    for part in slices(list(records(load(data))), 3):
        write(writer, part)
    for record in poison:
        write(writer, [record])
    with FaustWorker(settings, app, tmp_path) as worker:
        worker.wait_until_done()
        Output(settings, contract).expect(oracle(data))
        assert sum(worker.status().dead_letters.values()) == len(poison)
    if app == "quality":
        undecodable = latest(settings, VIOLATIONS).filter(pl.col("check_name") == "undecodable")
        assert sorted(undecodable["table_name"]) == ["order_reviews", "orders", "orders"]


@pytest.mark.parametrize("app", ORACLES)
def test_when_all_rows_are_deleted_nothing_is_left(
    settings: Settings, writer: Writer, data: Path, tmp_path: Path, app: str
) -> None:
    contract, oracle = ORACLES[app]
    all_records = list(records(load(data)))
    for part in slices(all_records, 5):
        write(writer, part)
    with FaustWorker(settings, app, tmp_path) as worker:
        output = Output(settings, contract)
        output.expect(oracle(data))
        gone: dict[tuple[str, bytes], Written] = {(table, key): (table, key, None) for table, key, _ in all_records}
        for table in TABLES:
            write(writer, [record for record in gone.values() if record[0] == table])
        worker.wait_until_done()
        wait_until(lambda: output.rows() == [], f"no rows of {contract.table}")
