"""Reviews in MongoDB, as far as no server is needed: addresses, the connector and its plugin, the wire's deletes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from connect import connect_client, mongodb
from connect.connect_client import ConfigProblem, ConnectClient
from olist.batches import OP, decode_batch
from olist.changes import Change, Position, codec
from olist.errors import BadInput
from olist.settings import Settings
from olist.stack.servers.connect import Connect
from olist.tables import ORDER_REVIEWS
from producers.shop.documents import Collection
from tests.records import FakeRecord

KEY = codec(ORDER_REVIEWS).encode_key(("r", "o"))


def settings(**different: Any) -> Settings:
    return Settings(mongodb=SecretStr("mongodb://u:hidden@127.0.0.1:9/"), **different)


@pytest.mark.parametrize(
    "url", ["mongodb://", "mongodb://u:hid@den@h/", "mongodb://u:x/hidden@h/", "mongodb://hidden@h:port/"]
)
def test_an_address_that_cannot_be_read_is_the_users_move_and_its_password_is_not_shown(url: str) -> None:
    with pytest.raises(BadInput, match="OLIST_MONGODB: ") as raised:
        Collection(Settings(mongodb=SecretStr(url)))
    assert "hid" not in str(raised.value)
    assert "percent-encoded" in raised.value.hint


def test_the_plugin_is_fetched_and_loaded_only_for_a_shop_with_a_mongodb(tmp_path: Path) -> None:
    without, beside = Connect(Settings(home=tmp_path, mongodb=None)), Connect(settings(home=tmp_path))
    assert without.sections == ("connect", "debezium")
    assert beside.sections == ("connect", "debezium", "debezium-mongodb")
    beside.prepare()
    written = (beside.folder / "worker.properties").read_text("utf-8")
    assert f"\nplugin.path={','.join(map(str, beside.plugins))}\n" in written
    assert [folder.name.split("-3.")[0] for folder in beside.plugins] == [
        "debezium-connector-postgres",
        "debezium-connector-mongodb",
    ]


def test_changes_and_tombstones_go_to_the_topic_of_the_direct_road() -> None:
    config = mongodb.render(settings(topic_prefix="acme-2.sales"))
    captured = f"{config['topic.prefix']}.sales.{ORDER_REVIEWS.table}"
    for step in ("changed", "deleted"):
        assert re.fullmatch(config[f"transforms.{step}.regex"], captured)
        assert config[f"transforms.{step}.replacement"] == ORDER_REVIEWS.topic("acme-2.sales")


def test_heartbeats_get_a_topic_that_forgets() -> None:
    config = mongodb.render(settings())
    pattern = config["topic.creation.meta.include"]
    assert re.fullmatch(pattern, f"__debezium-heartbeat.{config['topic.prefix']}")
    assert not re.fullmatch(pattern, ORDER_REVIEWS.topic("olist.public"))
    assert config["topic.creation.meta.cleanup.policy"] == "delete"


def test_a_server_that_is_away_is_given_up_before_the_judgement_of_its_configuration_is() -> None:
    config = mongodb.render(settings())
    assert int(config["mongodb.server.selection.timeout.ms"]) < connect_client.TIMEOUT_S * 1000 / 2


def test_a_setting_that_the_plugin_does_not_judge_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = [{"value": None}, {"value": {"name": "x", "errors": ["is wrong"]}}]
    monkeypatch.setattr(ConnectClient, "_ask", lambda *_: {"configs": judged})
    assert ConnectClient("http://127.0.0.1:9").validate({"connector.class": "a.B"}) == [ConfigProblem("x", "is wrong")]


def test_a_delete_with_an_empty_after_image_is_a_delete() -> None:
    value = b'{"after":{},"op":"d","source":{"ts_ms":1,"ts_us":1000}}'
    at = Position("t", 0, 7)
    assert codec(ORDER_REVIEWS).decode(KEY, value, at) == Change("d", ("r", "o"), None, at, 1000)
    batch = decode_batch(ORDER_REVIEWS, "t", [FakeRecord(KEY, value, 7), FakeRecord(KEY, None, 8)], 1)
    assert (batch.frame[OP].to_list(), batch.rejected, batch.unknown) == (["d", "d"], (), {})


def test_an_update_with_an_empty_after_image_is_refused() -> None:
    value = b'{"after":{},"op":"u","source":{"ts_ms":1,"ts_us":1000}}'
    batch = decode_batch(ORDER_REVIEWS, "t", [FakeRecord(KEY, value, 7)], 1)
    assert "missing required field" in str(batch.rejected[0].error)
