"""`olist connect` and `olist replay --to postgres` as a user runs them: what they say, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from olist.settings import Settings
from olist.stack.local import Stack
from producers.generation.dataset import generate
from tests.shops import CapturedShop, contracts, shop_settings, source_rows, unlike_the_shop

pytestmark = pytest.mark.integration

DEADLINE_S = 180.0


@pytest.fixture(scope="module")
def shop(connect_stack: Stack) -> Iterator[CapturedShop]:
    with CapturedShop(shop_settings(connect_stack.settings, "commands")) as made:
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "data"
    generate(folder, 60, 5, lambda _done: None)
    return folder


def olist(settings: Settings, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "olist", *arguments],
        env=settings.environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def done(settings: Settings, *arguments: str, given: str = "") -> str:
    ended = olist(settings, *arguments, given=given)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_connector_lives_from_apply_to_delete_by_commands_alone(shop: CapturedShop, data: Path) -> None:
    settings = shop.settings
    assert olist(settings, "connect", "apply", "--dry-run").returncode == 2
    assert olist(settings, "connect", "apply", given="n\n").returncode == 1
    assert shop.worker.config(shop.name) is None
    assert "commands-shop: running" in done(settings, "connect", "apply", given="y\n")
    assert done(settings, "connect", "apply", "--yes") == "commands-shop: nothing to change\n"

    cut = json.loads(done(settings, "replay", "--to", "postgres", "--data", str(data), "--limit", "200", "-o", "json"))
    assert cut["sent"] == 200
    done(settings, "connect", "pause")
    shown = olist(settings, "connect", "status")
    assert shown.returncode == 1
    assert "connector PAUSED, task 0 PAUSED" in shown.stdout
    done(settings, "replay", "--to", "postgres", "--data", str(data))
    assert "running" in done(settings, "connect", "resume")
    assert "running" in done(settings, "connect", "restart")
    assert "its rows are on the topics" in done(settings, "connect", "snapshot", "orders", "--wait", "60")
    assert "on the topics" in done(settings, "connect", "wait")
    assert unlike_the_shop(shop) == []

    facts = json.loads(done(settings, "connect", "status", "-o", "json"))
    assert [one["name"] for one in facts["connectors"]] == ["commands-shop"]
    assert "slot commands_shop (commands): read" in done(settings, "status", "--only", "kafka,postgres,connect")
    assert "nothing to do" in done(settings, "replay", "--to", "postgres", "--data", str(data))
    assert "slot commands_shop: dropped" in done(settings, "connect", "delete", given="y\ny\n")
    assert olist(settings, "connect", "restart").returncode == 1


def test_the_shop_emptied_by_a_replay_from_the_start_is_emptied_on_the_topics_too(
    connect_stack: Stack, data: Path
) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "again")) as shop:
        shop.capture()
        done(shop.settings, "replay", "--to", "postgres", "--data", str(data))
        done(
            shop.settings, "replay", "--to", "postgres", "--data", str(data), "--from-start", "--yes", "--limit", "150"
        )
        done(shop.settings, "connect", "wait")
        assert sum(source_rows(shop, contract).height for contract in contracts()) <= 150
        assert unlike_the_shop(shop) == []


def test_another_data_set_is_refused_with_the_way_out(connect_stack: Stack, data: Path, tmp_path: Path) -> None:
    generate(tmp_path / "other", 10, 6, lambda _done: None)
    with CapturedShop(shop_settings(connect_stack.settings, "other")) as shop:
        done(shop.settings, "replay", "--to", "postgres", "--data", str(data), "--limit", "10")
        ended = olist(shop.settings, "replay", "--to", "postgres", "--data", str(tmp_path / "other"))
        assert ended.returncode == 1
        assert "the shop holds another data set" in ended.stderr
        assert "--from-start" in ended.stderr


def test_documents_cannot_be_captured_where_their_connector_is_not_installed(shop: CapturedShop) -> None:
    ended = olist(shop.settings, "connect", "apply", "mongodb", "--yes")
    assert ended.returncode == 1
    assert "has no io.debezium.connector.mongodb.MongoDbConnector" in ended.stderr
