"""`olist connect`: connectors from the contracts, applied and watched."""

from __future__ import annotations

import sys
from typing import Any

import click

from connect import capture, initial_snapshot, mongodb, postgres
from connect.apply import apply, bootstrap, check, remove, remove_with_slot
from connect.committed import text
from connect.config_diff import changes
from connect.connect_client import ConnectClient, state_line, until_paused, until_running
from connect.postgres import Config, connector_name, slot_name
from olist.contracts import Contract
from olist.errors import BadInput
from olist.json_output import show_json
from olist.printable import LINES, printable
from olist.settings import Settings, settings
from olist.stack.slots import MEGABYTE, facts, slots
from olist.tables import TABLES

SOURCES = ("postgres", "mongodb")
source_argument = click.argument("source", type=click.Choice(SOURCES), default="postgres")
yes_option = click.option("--yes", is_flag=True, help="do not ask")


@click.group("connect")
def command() -> None:
    """Deploy and watch the connectors that capture the shop's database.

    \b
    olist connect apply              create it, or change it: shows the difference, asks, waits until it runs
    olist connect status             its state, its task's trace, its slot
    olist connect snapshot orders    read a table again while changes go on
    olist connect wait               until all that the shop has committed is on the topics
    """


def _config(current: Settings, source: str) -> Config:
    return postgres.render(current) if source == "postgres" else mongodb.render(current)


def _name(current: Settings, source: str) -> str:
    return connector_name(current) if source == "postgres" else mongodb.connector_name(current)


@command.command("render")
@source_argument
def render(source: str) -> None:
    """Print the configuration that the contracts and the settings give."""
    click.echo(text(_config(settings(), source)), nl=False)


@command.command("apply")
@source_argument
@yes_option
@click.option("--dry-run", is_flag=True, help="show the difference and change nothing; exit code 2 if there is one")
def apply_command(source: str, yes: bool, dry_run: bool) -> None:
    """Create or change a connector, and return when it runs. Nothing is touched when nothing differs."""
    current, client = settings(), ConnectClient(settings().connect_url)
    config = _config(current, source)
    there = client.config(config["name"])

    def agree() -> bool:
        return yes or click.confirm("apply?", abort=True, err=True)

    if dry_run:
        edits = changes(there, config)
        click.echo("\n".join(map(str, edits)) or "nothing to change")
        sys.exit(2 if edits else 0)
    if source == "postgres":
        initial_snapshot.filled_tables(current, TABLES.values())  # before the plugin says it less plainly
        capture.refuse_lost_slot(current)
        apply(client, config, click.echo, agree, lambda: initial_snapshot.prepare_source(current, TABLES.values()))
        bootstrap(current, client, config["name"], click.echo)
    else:
        apply(client, config, click.echo, agree)


@command.command("status")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="how to print it")
def status(output: str) -> None:
    """Show every connector, its tasks and the slots. Exit code 1 when one does not run, with its trace."""
    current, client = settings(), ConnectClient(settings().connect_url)
    found = [one for name in client.connectors() if (one := client.status(name)) is not None]
    found_slots = slots(current)
    if output == "json":
        show_json({"connectors": found, "slots": facts(found_slots, current.slot_warning_mb)})
    else:
        for one in found:
            click.echo(printable(f"{one.name}: {state_line(one)}" + (f"\n{one.trace}" if one.trace else ""), LINES))
        for slot in found_slots:
            warning = slot.warning(current.slot_warning_mb)
            click.echo(slot.line() + (f"  WARNING: {warning}" if warning else ""))
        click.echo("" if found else "no connector; `olist connect apply` creates it", nl=not found)
    sys.exit(0 if all(one.running for one in found) else 1)


@command.command("restart")
@source_argument
def restart(source: str) -> None:
    """Restart a connector and its task, and return when they run."""
    client, name = _there(source)
    _refuse_lost_slot(source)
    before = client.status(name)
    client.restart(name)
    until_running(client, name, past="" if before is None else before.trace)
    click.echo(f"{name}: running")


@command.command("pause")
@source_argument
def pause(source: str) -> None:
    """Stop reading; the slot keeps the WAL meanwhile."""
    client, name = _there(source)
    client.ask(name, "pause")
    until_paused(client, name)
    click.echo(f"{name}: paused; its slot keeps what the shop writes until `olist connect resume`")


@command.command("resume")
@source_argument
def resume(source: str) -> None:
    """Go on where it stopped."""
    client, name = _there(source)
    _refuse_lost_slot(source)
    client.ask(name, "resume")
    until_running(client, name)
    click.echo(f"{name}: running")


@command.command("delete")
@source_argument
@yes_option
@click.option("--drop-slot/--keep-slot", default=None, help="what becomes of the slot, instead of being asked")
def delete(source: str, yes: bool, drop_slot: bool | None) -> None:
    """Delete a connector, and its replication slot if you say so.

    With the slot it can be applied again and goes on without a gap; without it, it starts over with a snapshot of what
    the tables hold then, and a row that was deleted in between stays on the topics. A slot that was kept, or that a
    delete which was cut off left, is dropped by another one.
    """
    current, client = settings(), ConnectClient(settings().connect_url)
    name, there = _name(current, source), client.config(_name(current, source)) is not None
    if there and not yes:
        click.confirm(f"delete {name}?", abort=True, err=True)
    if source == "postgres" and drop_slot is None:
        drop_slot = not yes and _agreed_to_drop_slot(current)
    if not there and not drop_slot:
        raise _nothing_there(name)
    if source != "postgres":
        _say_deleted(name, remove(client, name, offsets=bool(drop_slot)))
    elif drop_slot:
        deleted, dropped = remove_with_slot(current, client, name)
        _say_deleted(name, deleted)
        click.echo(f"slot {slot_name(current)}: {'dropped' if dropped else 'was not there'}")
    else:
        _say_deleted(name, remove(client, name, offsets=False))
        kept = capture.own_slot(current) is not None
        click.echo(f"slot {slot_name(current)}: {'kept; PostgreSQL keeps WAL for it' if kept else 'was not there'}")


def _say_deleted(name: str, deleted: bool) -> None:
    click.echo(f"{name}: {'deleted' if deleted else 'was not there'}")


def _agreed_to_drop_slot(current: Settings) -> bool:
    slot = capture.own_slot(current)
    return slot is not None and click.confirm(
        f"drop its slot {slot.name} too? Until then PostgreSQL keeps WAL for it ({slot.kept / MEGABYTE:.0f} MB now)",
        err=True,
    )


@command.command("snapshot")
@click.argument("tables", nargs=-1, required=True)
@click.option("--wait", "within_s", type=click.FloatRange(0), help="seconds to wait until it is on the topics")
def snapshot(tables: tuple[str, ...], within_s: float | None) -> None:
    """Read tables again, in chunks between the changes that go on; a running one that is killed goes on."""
    current = settings()
    client, name = _there("postgres")
    contracts = [_contract(table) for table in tables]
    asked = capture.ask_for_snapshot(current, contracts)
    click.echo(f"asked for an incremental snapshot of {', '.join(tables)} ({asked})")
    if within_s is not None:
        capture.until_snapshot_done(current, within_s, lambda: check(current, client, name), _offsets(client, name))
        click.echo("its rows are on the topics")


@command.command("wait")
@click.option("--within", "within_s", type=click.FloatRange(0), default=300.0, show_default=True, help="seconds")
def wait(within_s: float) -> None:
    """Return when all that is committed in the shop now is on the topics, a running snapshot included."""
    current = settings()
    client, name = _there("postgres")
    capture.until_snapshot_done(current, within_s, lambda: check(current, client, name), _offsets(client, name))
    click.echo("all that the shop has committed is on the topics")


def _refuse_lost_slot(source: str) -> None:
    if source == "postgres":
        capture.refuse_lost_slot(settings())


def _offsets(client: ConnectClient, name: str) -> Any:
    return lambda: client.offsets(name)


def _contract(table: str) -> Contract:
    if table not in TABLES:
        raise BadInput(f"no table named {table}", hint=f"tables: {', '.join(TABLES)}")
    return TABLES[table]


def _there(source: str) -> tuple[ConnectClient, str]:
    """The client and the connector's name.

    Raises:
        BadInput: there is no such connector.
    """
    client, name = ConnectClient(settings().connect_url), _name(settings(), source)
    if client.config(name) is None:
        raise _nothing_there(name)
    return client, name


def _nothing_there(name: str) -> BadInput:
    return BadInput(f"there is no connector {name}", hint="`olist connect apply` creates it")
