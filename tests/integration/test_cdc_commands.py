"""`olist connect` and `olist replay --to postgres` as a user runs them: what they say, and how they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from connect import initial_snapshot
from connect.connect_client import until_idle
from connect.initial_snapshot import forget_snapshots, snapshot_once
from olist.batches import OP
from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.stack.local import Stack
from olist.tables import CUSTOMERS, SELLERS
from producers.generation.dataset import generate
from tests.commands import done, olist
from tests.shops import (
    CapturedShop,
    administrators_url,
    batch,
    contracts,
    history_of,
    shop_settings,
    source_rows,
    unlike_the_shop,
)

pytestmark = pytest.mark.integration

A_CUSTOMER = "insert into customers values ('{0}', 'u', '01001', 'são paulo', 'SP')"


@pytest.fixture(scope="module")
def shop(connect_stack: Stack) -> Iterator[CapturedShop]:
    with CapturedShop(shop_settings(connect_stack.settings, "commands")) as made:
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands") / "data"
    generate(folder, 60, 5, lambda _done: None)
    return folder


def test_a_connector_lives_from_apply_to_delete_by_commands_alone(shop: CapturedShop, data: Path) -> None:
    settings = shop.settings
    assert olist(settings, "connect", "apply", "--dry-run").returncode == 2
    assert olist(settings, "connect", "apply", given="n\n").returncode == 1
    assert shop.client.config(shop.name) is None
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
    assert olist(settings, "connect", "delete").returncode == 1
    assert olist(settings, "connect", "restart").returncode == 1


def warned_of_slots(settings: Settings) -> Settings:
    """The same servers, with every slot that keeps a megabyte warned of."""
    return settings.model_copy(update={"slot_warning_mb": 1})


@pytest.fixture(scope="module")
def kept(connect_stack: Stack) -> Iterator[CapturedShop]:
    """A shop that is captured; each test leaves it so."""
    with CapturedShop(shop_settings(connect_stack.settings, "kept")) as made:
        made.capture()
        yield made


def test_what_changes_while_its_connector_is_deleted_arrives_when_the_slot_was_kept(kept: CapturedShop) -> None:
    settings = kept.settings
    kept.run(A_CUSTOMER.format("before"))
    assert "slot kept_shop: kept; " in done(settings, "connect", "delete", "--yes", "--keep-slot")
    kept.run(A_CUSTOMER.format("meanwhile"), *["select pg_logical_emit_message(false, '', repeat('x', 1000000))"] * 2)

    warned, warning = warned_of_slots(settings), "nobody reads it; `olist connect delete --drop-slot` drops it"
    (line,) = [text for text in done(warned, "status", "--only", "postgres").splitlines() if "kept_shop" in text]
    assert "slot kept_shop (kept): read by nobody" in line
    assert line.endswith(f"  WARNING: keeps more WAL than OLIST_SLOT_WARNING_MB=1: {warning}")
    (server,) = json.loads(done(warned, "status", "--only", "postgres", "-o", "json"))
    assert [warning in slot["warning"] for slot in server["slots"] if slot["name"] == "kept_shop"] == [True]

    assert done(settings, "connect", "apply", "--yes").splitlines()[-1] == "kept-shop: running"
    done(settings, "connect", "wait")
    assert history(kept) == [("before", "c"), ("meanwhile", "c")]


def history(shop: CapturedShop) -> list[tuple[Any, ...]]:
    """Every change of the customers, with what it was."""
    frame = history_of(batch(shop.settings, CUSTOMERS))
    return frame.select(*CUSTOMERS.key, OP).rows()


def test_rows_of_a_table_that_is_captured_later_are_read_and_no_others(kept: CapturedShop) -> None:
    """As after an upgrade that brings a contract: one mark for all from before, and no sellers in the publication."""
    kept.run(A_CUSTOMER.format("known"))
    kept.wait()
    told = len(history(kept))
    kept.client.ask(kept.name, "stop")
    until_idle(kept.client, kept.name)
    kept.run(
        "alter publication cdc drop table sellers",
        "delete from cdc_signal where id like 'first-of-%'",
        "insert into cdc_signal values ('first-of-kept_shop', 'log', '{}')",
        "insert into sellers values ('unpublished', '01001', 'são paulo', 'SP')",
    )
    said = done(kept.settings, "connect", "apply", "--yes").splitlines()
    assert said[0] == "kept-shop: nothing to change"
    assert [line.rpartition(" of ")[2] for line in said[1:]] == ["sellers"]
    done(kept.settings, "connect", "wait")
    assert unlike_the_shop(kept) == []
    assert len(history(kept)) == told
    assert snapshot_once(kept.settings, contracts(), kept.check) == []


def test_a_snapshot_waits_for_those_who_wrote_before_the_table_was_captured(
    shop: CapturedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their changes are in no stream, and a snapshot does not see them before they commit."""
    with shop.connect() as writer:
        writer.execute("begin")
        writer.execute("insert into sellers values ('slow', '01001', 'são paulo', 'SP')")
        monkeypatch.setattr(initial_snapshot, "WITHIN_S", 0.0)
        with pytest.raises(ServerTrouble, match="transactions that wrote to sellers are still open"):
            snapshot_once(shop.settings, [SELLERS], lambda: None)
        monkeypatch.undo()
        assert snapshot_once(shop.settings, [SELLERS], writer.commit) == [SELLERS]
    forget_snapshots(shop.settings)
    shop.run("delete from sellers where seller_id = 'slow'")


def test_a_slot_can_be_dropped_after_its_connector_and_the_next_one_begins_anew(kept: CapturedShop) -> None:
    settings = kept.settings
    kept.run(A_CUSTOMER.format("first"))
    done(settings, "connect", "delete", "--yes", "--keep-slot")
    told = "kept-shop: was not there\nslot kept_shop: dropped\n"
    assert done(settings, "connect", "delete", given="y\n").lstrip() == told
    assert done(settings, "connect", "delete", "--drop-slot") == told.replace("dropped", "was not there")
    kept.run(A_CUSTOMER.format("unseen"))
    said = done(settings, "connect", "apply", "--yes").splitlines()[-1]
    assert said.startswith("kept-shop: rows were there before: asked for an incremental snapshot of customers")
    done(settings, "connect", "wait")
    assert unlike_the_shop(kept) == []


def test_a_connector_that_failed_is_told_with_its_trace_until_its_cause_is_mended(connect_stack: Stack) -> None:
    with CapturedShop(shop_settings(connect_stack.settings, "mute")) as shop, role(shop.settings) as admin:
        mute = as_user(shop.settings, "mute")
        for command in (("apply", "--yes"), ("apply", "--yes"), ("restart",)):
            ended = olist(mute, "connect", *command)
            assert ended.returncode == 1
            assert "mute-shop failed: org.postgresql.util.PSQLException: " in ended.stderr
            assert "permission denied to start WAL sender" in ended.stderr
            assert "\tat io.debezium" in ended.stderr
        shown = olist(mute, "connect", "status")
        assert shown.returncode == 1
        assert "mute-shop: connector RUNNING, task 0 FAILED\n" in shown.stdout
        assert "\tat io.debezium" in shown.stdout
        admin.execute("alter role mute replication")
        assert done(mute, "connect", "restart") == "mute-shop: running\n"
        shop.remove_connector()


@contextmanager
def role(settings: Settings) -> Iterator[psycopg.Connection]:
    """A user with all the shop's rights who may not replicate, and the administrator's connection."""
    with psycopg.connect(administrators_url(settings), autocommit=True) as admin:
        admin.execute("create role mute login in role olist")
        try:
            yield admin
        finally:
            admin.execute("drop role mute")


def as_user(settings: Settings, user: str) -> Settings:
    """The same shop, captured as someone else."""
    url = urlsplit(settings.shop_url)
    return settings.model_copy(update={"shop": url._replace(netloc=f"{user}@{url.hostname}:{url.port}").geturl()})


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


def test_documents_cannot_be_captured_where_no_mongodb_answers(shop: CapturedShop) -> None:
    ended = olist(shop.settings, "connect", "apply", "mongodb", "--yes")
    assert ended.returncode == 1
    assert "the connector refuses its configuration\n  mongodb.connection.string: Unable to connect" in ended.stderr
