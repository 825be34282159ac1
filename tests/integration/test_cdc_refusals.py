"""What goes wrong between the shop and its connector, and what the user sees of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from connect.apply import apply, bootstrap
from connect.connect_client import until_idle
from connect.postgres import render, slot_name
from olist.clients.shop import connect
from olist.errors import BadInput, ServerTrouble, Stopped
from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.processes import spawn, stop
from olist.stack.servers.postgres import Postgres
from olist.stack.servers.server import free_ports
from olist.stack.slots import Slot, slots
from olist.tables import CUSTOMERS
from tests.shops import CapturedShop, administrators_url, latest, shop_settings, unlike_the_shop
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

A_CUSTOMER = "insert into customers values ('{0}', 'u', '01001', 'são paulo', 'SP')"


@pytest.fixture(scope="module")
def shop(connect_stack: Stack) -> Iterator[CapturedShop]:
    with CapturedShop(shop_settings(connect_stack.settings, "refused")) as made:
        yield made


def administrator(settings: Settings) -> psycopg.Connection:
    return psycopg.connect(administrators_url(settings), autocommit=True)


@contextmanager
def role(settings: Settings, name: str, options: str) -> Iterator[psycopg.Connection]:
    """A role for a while, and the administrator's connection."""
    with administrator(settings) as admin:
        admin.execute(f"create role {name} {options}".encode())
        try:
            yield admin
        finally:
            admin.execute(f"drop role {name}".encode())


def as_user(settings: Settings, user: str) -> Settings:
    """The same shop, captured as someone else."""
    url = urlsplit(settings.shop_url)
    return settings.model_copy(update={"shop": url._replace(netloc=f"{user}@{url.hostname}:{url.port}").geturl()})


def applied_as(shop: CapturedShop, user: str) -> None:
    apply(shop.client, render(as_user(shop.settings, user)), quiet, lambda: True)
    bootstrap(shop.settings, shop.client, shop.name, quiet)


def quiet(_text: str) -> None:
    """What an apply says is tested elsewhere."""


def test_a_user_that_does_not_exist_is_refused_before_anything_is_made(shop: CapturedShop) -> None:
    with pytest.raises(BadInput, match='role "nobody_here" does not exist'):
        applied_as(shop, "nobody_here")
    assert shop.client.config(shop.name) is None


@contextmanager
def asked_for_a_password(settings: Settings, user: str) -> Iterator[None]:
    """The server, which trusts everyone on loopback, does not trust this user."""
    with administrator(settings) as admin:
        (file, before) = admin.execute("select f, pg_read_file(f) from current_setting('hba_file') f").fetchone() or ()
        lines = sql.SQL(
            "copy (select line from unnest(string_to_array({}, E'\\n')) line where line <> '') to {}"
            " with (format csv, delimiter E'\\x02', quote E'\\x01')"
        )
        try:
            rule = f"host all {user} 127.0.0.1/32 scram-sha-256\n{before}"
            admin.execute(lines.format(sql.Literal(rule), sql.Literal(file)))
            admin.execute("select pg_reload_conf()")
            yield
        finally:
            admin.execute(lines.format(sql.Literal(before), sql.Literal(file)))
            admin.execute("select pg_reload_conf()")


def test_the_password_is_the_workers_own_and_a_wrong_one_is_refused(shop: CapturedShop) -> None:
    locked = role(shop.settings, "locked", "login replication password 'another' in role olist")
    with locked as admin, asked_for_a_password(shop.settings, "locked"):
        with pytest.raises(BadInput, match='password authentication failed for user "locked"'):
            applied_as(shop, "locked")
        admin.execute("alter role locked password 'none'")  # what the worker has where no password is set
        applied_as(shop, "locked")
        config = shop.client.config(shop.name)
        assert config is not None
        assert config["database.password"] == "${env:OLIST_SHOP_PASSWORD}"
        shop.remove_connector()


def test_a_user_without_rights_to_make_the_publication_is_told_so_with_the_task_trace(shop: CapturedShop) -> None:
    with role(shop.settings, "reader", "login replication"):
        shop.run("grant select on all tables in schema public to reader", "drop publication cdc")
        with pytest.raises(ServerTrouble, match="permission denied for database refused") as raised:
            applied_as(shop, "reader")
        assert "at io.debezium" in str(raised.value)
        assert "olist connect restart" in raised.value.hint
        shop.remove_connector()
        shop.run("revoke all on all tables in schema public from reader")


def test_a_database_that_is_not_there_is_named_with_the_way_to_make_it(stack: Stack) -> None:
    with pytest.raises(BadInput, match="nowhere as olist does not exist") as raised:
        connect(shop_settings(stack.settings, "nowhere"))
    assert raised.value.hint == "`olist shop migrate` creates it"


@pytest.fixture(scope="module")
def small(connect_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CapturedShop]:
    """A shop on a PostgreSQL of its own that keeps 64 MB of WAL for a slot, and has room for one slot."""
    home = tmp_path_factory.mktemp("small")
    port = free_ports(1, after=connect_stack.settings.opensearch_port + 1)[0]
    own = connect_stack.settings.model_copy(update={"home": home, "postgres_port": port})
    server = Postgres(own)
    server.prepare()
    launch = server.launch()
    tight = ("--max_slot_wal_keep_size=64MB", "--max_wal_size=128MB", "--max_replication_slots=1")
    process = spawn(replace(launch, argv=(*launch.argv, *tight)), Path(home) / "postgres.log")
    try:
        wait_until(lambda: it_answers(server), "PostgreSQL")
        with CapturedShop(shop_settings(own, "small")) as made:
            yield made
    finally:
        stop([(process, signal.SIGINT)], 20)


def it_answers(server: Postgres) -> bool:
    try:
        server.probe()
        server.settle()
    except ServerTrouble:
        return False
    return True


def the_slot(shop: CapturedShop) -> Slot:
    (found,) = [slot for slot in slots(shop.settings) if slot.name == slot_name(shop.settings)]
    return found


def write_wal(shop: CapturedShop, megabytes: int) -> None:
    with shop.connect() as connection:
        for _ in range(megabytes):
            connection.execute("select pg_logical_emit_message(false, 'filler', repeat('x', 1000000))")
    with administrator(shop.settings) as admin:
        admin.execute("select pg_switch_wal()")
        admin.execute("checkpoint")


def test_a_server_without_a_free_slot_is_told_so(small: CapturedShop) -> None:
    with administrator(small.settings) as admin:
        admin.execute("select pg_create_logical_replication_slot('taken', 'pgoutput')")
        try:
            with pytest.raises((ServerTrouble, BadInput), match="all replication slots are in use"):
                small.capture(slot__max__retries="0")
        finally:
            if small.client.config(small.name) is not None:
                small.remove_connector()
            admin.execute("select pg_drop_replication_slot('taken')")


def test_a_slot_that_nobody_reads_is_warned_of_then_lost_and_begins_anew_with_equal_rows(small: CapturedShop) -> None:
    small.capture()
    small.run(A_CUSTOMER.format("seen"))
    small.wait()
    assert the_slot(small).warning(1) == ""
    small.client.ask(small.name, "stop")
    until_idle(small.client, small.name)
    small.run(A_CUSTOMER.format("unseen"))
    write_wal(small, 4)
    assert "nobody reads it" in the_slot(small).warning(1)
    write_wal(small, 80)
    assert the_slot(small).warning(1).startswith("lost")
    with pytest.raises(Stopped, match="slot small_shop is lost") as raised:
        small.check()
    assert "delete --drop-slot" in raised.value.hint
    begin_anew(small)
    assert unlike_the_shop(small) == []
    assert latest(small.settings, CUSTOMERS).height == 2


def begin_anew(shop: CapturedShop) -> None:
    """`olist connect delete --drop-slot`, `olist connect apply`."""
    shop.remove_connector()
    shop.capture()
    shop.wait_for_snapshot()
