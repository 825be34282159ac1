"""The whole platform over TLS: replayer, sinks, apps of both engines and change data capture, by settings alone."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from olist.settings import Settings
from olist.source import Dataset, load
from olist.stack.home import Home
from olist.stack.local import Stack
from olist.tables import ORDERS, TABLES
from producers.generation.dataset import generate
from stream_apps.apps.review_signals import REVIEW_SIGNALS
from stream_apps.apps.sales_by_hour import APP
from tests.certificates import Authority
from tests.commands import done, olist
from tests.faults.shop import Shop
from tests.faust_workers import FaustWorker
from tests.flink_apps import RunningApps
from tests.secured_kafka import SECRETS, SecuredKafka
from tests.shops import CapturedShop, latest, shop_settings
from tests.tls_fronts import HttpFront, PostgresFront, basic

pytestmark = pytest.mark.integration

SEARCH_PASSWORD = "search-s3cret"
EVERY_SECRET = (*SECRETS, SEARCH_PASSWORD)


@dataclass
class CommandLines:
    """Looks at the command lines of all that this test process has started, until it is left."""

    seen: set[str] = field(default_factory=set)
    _left: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> CommandLines:
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._left.set()

    def _look(self) -> None:
        while not self._left.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    self.seen.add(" ".join(process.cmdline()))
                except psutil.Error:
                    continue  # it has ended


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secured-platform") / "data"
    generate(folder, 300, 5, lambda _done: None)
    return folder


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return load(data)


@pytest.fixture(scope="module")
def settings(stack: Stack, secured: SecuredKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Every server behind TLS: Kafka by SCRAM, PostgreSQL by verify-full, OpenSearch by a password."""
    authority = Authority(tmp_path_factory.mktemp("platform") / "authority")
    searching = HttpFront(stack.settings.opensearch_url, authority.issue("search"), basic("olist", SEARCH_PASSWORD))
    with searching, PostgresFront(stack.settings.postgres_port, authority.issue("database")) as database:
        tls = f"sslmode=verify-full&sslrootcert={authority.ca}"
        others: dict[str, Any] = {
            "topic_prefix": "secured.public",
            "partitions": 2,
            "session_timeout_ms": 6_000,
            "postgres": f"postgresql://olist@localhost:{database.port}/olist?{tls}",
            "opensearch": searching.url,
            "opensearch_ca": authority.ca,
            "opensearch_username": "olist",
            "opensearch_password": SEARCH_PASSWORD,
            "s3": stack.settings.s3_url,
            "connect_port": secured.home.connect_port,
            "flink_port": secured.home.flink_port,
            "flink_inner_port": secured.home.flink_inner_port,
        }
        yield secured.settings("SCRAM-SHA-512", **others)


@pytest.fixture(scope="module")
def shop(settings: Settings, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A data set, replayed."""
    made = Shop(settings, data, tmp_path_factory.mktemp("secured-shop"), random.Random(1))
    made.empty_targets()
    made.replay()
    yield made
    made.close()
    made.empty_targets()


def written(folder: Path) -> str:
    """All that lies in a folder's small files, as text."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 10_000_000]
    return "\n".join(path.read_text("utf-8", errors="replace") for path in files)


def assert_no_secret(*texts: str) -> None:
    assert not [secret for secret in EVERY_SECRET if any(secret in text for text in texts)]


def test_a_replay_reaches_three_targets_and_the_check_finds_them_equal(shop: Shop) -> None:
    with CommandLines() as lines:
        for target in ("iceberg", "postgres", "opensearch"):
            shop.sink(target)
        shop.assert_all_equal()
        listed = json.loads(done(shop.settings, "topics", "ls", "-o", "json"))
        assert {one["topic"] for one in listed} >= {c.topic("secured.public") for c in TABLES.values()}
        newest = done(shop.settings, "topics", "tail", ORDERS.table, "-n", "1")
        shown = [done(shop.settings, *words) for words in (["settings"], ["sink", "status"])]
    shop.close()
    assert len(lines.seen) > 3
    assert_no_secret(newest, *shown, *lines.seen, written(shop.folder))


def test_a_wrong_password_ends_a_command_by_the_name_of_its_setting(shop: Shop, secured: SecuredKafka) -> None:
    wrong = secured.settings("SCRAM-SHA-512", kafka_sasl_password="wr0ng", topic_prefix="secured.public")
    for words in (["topics", "ls"], ["sink", "run", "postgres"], ["replay", "--data", str(shop.data)]):
        ended = olist(wrong, *words)
        assert ended.returncode
        assert "OLIST_KAFKA_SASL_PASSWORD" in ended.stderr
        assert "wr0ng" not in ended.stdout + ended.stderr


def test_a_faust_app_reads_and_writes(shop: Shop, tmp_path: Path) -> None:
    with FaustWorker(shop.settings, "review_signals", tmp_path) as worker:
        worker.wait_until_done()
        worker.stop()
    assert latest(shop.settings, REVIEW_SIGNALS).height
    assert_no_secret(written(tmp_path))


def test_a_flink_app_reads_and_writes_and_its_plan_holds_no_secret(shop: Shop, tmp_path: Path) -> None:
    cluster = Stack(shop.settings, ["jobmanager", "taskmanager"], tied=True)
    with CommandLines() as lines, cluster:
        cluster.up()
        apps = RunningApps(shop.settings, tmp_path, tmp_path, (APP,))
        apps.start()
        apps.caught_up()
        assert latest(shop.settings, APP.writes).height
        apps.end()
    home = shop.settings.home.resolve()
    logs = [Home(home).log(name).read_text("utf-8") for name in ("jobmanager", "taskmanager")]
    assert_no_secret(*logs, written(tmp_path), *lines.seen, *map(str, home.rglob("config.yaml")))


def test_debezium_captures_a_database_over_verify_full(settings: Settings, dataset: Dataset) -> None:
    capturing = shop_settings(settings, "securedshop")
    worker = Stack(capturing, ["connect"], tied=True)
    with CommandLines() as lines, worker:
        worker.up()
        with CapturedShop(capturing) as captured:
            captured.capture()
            assert captured.replay(dataset, limit=200) == 200
            captured.wait()
            assert latest(capturing, ORDERS).height
            config = captured.client.config(captured.name)
    home = capturing.home.resolve()
    told = Home(home).log("connect").read_text("utf-8") + (home / "connect" / "worker.properties").read_text("utf-8")
    assert_no_secret(told, json.dumps(config), *lines.seen)
