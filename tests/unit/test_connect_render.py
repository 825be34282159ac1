from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import producers.shop.migrate as migrations_of
from connect import mongodb, postgres
from connect.cli import SOURCES, command
from connect.committed import CONNECTORS, FOLDER, RENEW, rendered
from olist.clients.shop import HEARTBEAT, PUBLICATION, SIGNAL
from olist.contracts import Contract, Row, Str
from olist.errors import BadInput
from olist.settings import Settings, settings
from olist.tables import TABLES


class Note(Row):
    id: Str


@pytest.mark.parametrize("name", rendered())
def test_the_committed_connector_is_what_the_contracts_say(name: str) -> None:
    path = FOLDER / name
    assert path.read_text("utf-8") == rendered()[name], f"{path} is stale; renew it with `{RENEW}` and look at the diff"


def test_every_contract_and_the_heartbeat_are_captured() -> None:
    wanted = postgres.render(Settings())["table.include.list"].split(",")
    tables = [*TABLES, HEARTBEAT]
    assert len(wanted) == len(tables)
    assert all(re.fullmatch(regex, f"public.{table}") for regex, table in zip(wanted, tables, strict=True))


def test_topics_are_named_as_the_direct_road_names_them() -> None:
    config = postgres.render(Settings(topic_prefix="acme.sales"))
    first = config["table.include.list"].split(",")[0].replace("\\", "")
    contract = next(iter(TABLES.values()))
    assert f"{config['topic.prefix']}.{first}" == contract.topic("acme.sales")


def test_a_prefix_without_a_schema_is_refused_with_one_that_would_do() -> None:
    with pytest.raises(BadInput, match="names no schema") as raised:
        postgres.render(Settings(topic_prefix="olist"))
    assert raised.value.hint == "OLIST_TOPIC_PREFIX=olist.public"


def test_no_password_is_rendered_whatever_the_settings_hold() -> None:
    hiding = Settings(shop="postgresql://u:hidden@db:5433/s", mongodb="mongodb://u:hidden@m/")
    both = {**postgres.render(hiding), **mongodb.render(hiding)}
    assert not [value for value in both.values() if "hidden" in value]
    assert both["database.password"].startswith("${env:")
    assert both["mongodb.connection.string"].startswith("${env:")


def test_the_source_is_where_the_setting_says() -> None:
    config = postgres.render(Settings(shop="postgresql://clerk@db.example:5433/sales"))
    names = ("database.hostname", "database.port", "database.user", "database.dbname")
    assert [config[name] for name in names] == ["db.example", "5433", "clerk", "sales"]


def test_what_a_url_writes_in_percents_reaches_the_connector_in_letters() -> None:
    config = postgres.render(
        Settings(shop="postgresql://a%40b:p%2Fw@h/my%20shop?sslrootcert=/c%2B%20d+&sslmode=require")
    )
    names = ("database.user", "database.dbname", "database.sslmode", "database.sslrootcert")
    assert [config[name] for name in names] == ["a@b", "my shop", "require", "/c+ d+"]


def test_what_the_url_says_of_our_own_connections_alone_is_left_out() -> None:
    plain, told = (postgres.render(Settings(shop=f"postgresql://u@h/d{more}")) for more in ("", "?connect_timeout=3"))
    assert told == plain


def test_a_parameter_of_the_url_that_the_connector_would_not_have_is_refused() -> None:
    with pytest.raises(BadInput, match="has no setting for host, options") as raised:
        postgres.render(Settings(shop="postgresql://u@/d?host=/tmp&options=-csearch_path%3Dx&sslmode=require"))
    assert "sslmode" in raised.value.hint


def test_the_heartbeat_finds_a_schema_whose_name_needs_quotes() -> None:
    query = postgres.render(Settings(topic_prefix="acme.Sales-1"))["heartbeat.action.query"]
    assert query.startswith(f'insert into "Sales-1"."{HEARTBEAT}" ')


@pytest.mark.parametrize("source", SOURCES)
def test_render_prints_what_an_apply_would_put(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLIST_TOPIC_PREFIX", "acme.sales")
    settings.cache_clear()
    printed = CliRunner().invoke(command, ["render", source])
    settings.cache_clear()
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == CONNECTORS[source](Settings(topic_prefix="acme.sales"))


def test_a_slot_is_named_after_its_connector_in_letters_that_postgres_takes() -> None:
    assert postgres.slot_name(Settings(topic_prefix="Acme-2.public")) == "acme_2_shop"


def test_a_contract_with_topic_settings_of_its_own_gets_a_group_of_its_own() -> None:
    note = Contract("notes", Note, key=("id",), topic_config={"cleanup.policy": "delete", "retention.ms": "1000"})
    config = postgres.render(Settings(), [note])
    assert config["topic.creation.groups"] == "meta,notes"
    assert re.fullmatch(config["topic.creation.notes.include"], "olist.public.notes")
    assert config["topic.creation.notes.retention.ms"] == "1000"
    assert config["topic.creation.default.cleanup.policy"] == "compact"


def test_heartbeats_and_signals_get_topics_that_forget() -> None:
    config = postgres.render(Settings())
    patterns = config["topic.creation.meta.include"].split(",")
    for topic in (f"olist.public.{HEARTBEAT}", f"olist.public.{SIGNAL}", "__debezium-heartbeat.olist"):
        assert any(re.fullmatch(pattern, topic) for pattern in patterns)
    assert not any(re.fullmatch(pattern, c.topic("olist.public")) for pattern in patterns for c in TABLES.values())
    assert config["topic.creation.meta.cleanup.policy"] == "delete"


def test_documents_are_looked_up_whole_after_an_update() -> None:
    config = mongodb.render(Settings())
    assert config["capture.mode"] == "change_streams_update_full"
    assert config["capture.mode.full.update.type"] == "lookup"


def test_the_migrations_make_what_capture_is_told_to_use() -> None:
    text = "".join(path.read_text("utf-8") for path in migrations_of.migrations())
    for name in (f"create table {HEARTBEAT} ", f"create table {SIGNAL} ", f"create publication {PUBLICATION} "):
        assert name in text


def test_migrations_are_numbered_in_order_without_a_gap() -> None:
    numbers = [int(Path(path).name[:4]) for path in migrations_of.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))
