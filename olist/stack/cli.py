"""`olist up | down | status | logs | doctor | stack`: thin commands over `local.Stack`, each importing what it uses."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from olist.errors import BadInput, ServerTrouble, StackError
from olist.json_output import show_json
from olist.printable import LINES, printable

if TYPE_CHECKING:
    from olist.stack.local import Stack
    from olist.stack.servers.server import ServerState
    from olist.stack.slots import Slot

SUPERVISOR, POSTGRES = "supervisor", "postgres"

output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="how to print it")


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


only = click.option("--only", callback=_names, metavar="NAME[,NAME]", help="these servers instead of all")


@click.command()
@only
@click.option("--offline", is_flag=True, help="never download; fail when the cache lacks something")
@click.option("--foreground", is_flag=True, help="stay, and stop the servers at Ctrl-C or SIGTERM")
@output
def up(only: list[str] | None, offline: bool, foreground: bool, output: str) -> None:
    """Start the servers of this machine and wait until all are ready; those that run are left alone."""
    from olist.settings import settings
    from olist.stack.local import Stack
    from olist.stack.view import LiveProgress
    from olist.terminal import console

    chosen = settings()
    if offline:
        chosen = chosen.model_copy(update={"offline": True})
    with Stack(chosen, only, tied=True) if foreground else nullcontext(Stack(chosen, only)) as stack:
        _print_crashes(stack)
        with LiveProgress(console(stderr=True)) as progress:
            states = stack.up(progress)
        _print(states.values(), output)
        if foreground:
            _watch_until_signal(stack)


def _watch_until_signal(stack: Stack) -> None:
    import threading

    from olist.stop_signals import set_on_signal

    stopping = threading.Event()
    set_on_signal(stopping)
    while not stopping.wait(1.0):
        if crashed := [state for state in stack.states().values() if state.phase not in ("ready", "external")]:
            raise StackError("; ".join(f"{state.name} {state.phase}: {state.reason}" for state in crashed))


@click.command()
@click.option("--delete", is_flag=True, help="then remove data, logs and run state (lists them, asks)")
@click.option("--yes", is_flag=True, help="do not ask")
def down(delete: bool, yes: bool) -> None:
    """Stop the servers, gracefully within a deadline. Their data stays without --delete."""
    from olist.settings import settings
    from olist.stack.local import Stack

    running = Stack(settings())
    running.down()
    if delete:
        _delete(running, yes=yes)


def _delete(stopped: Stack, *, yes: bool) -> None:
    paths = stopped.data()
    if paths:
        stopped.home.require_own()
    for path in paths:
        click.echo(f"{path}")
    if paths and (yes or click.confirm("Remove all of these?")):
        stopped.delete()


@click.command()
@only
@output
def status(only: list[str] | None, output: str) -> None:
    """Show every server: state, address, process, memory; and what replication slots keep.

    Exit code 1 when a server has crashed, or one of another machine does not answer.
    """

    from olist.settings import settings
    from olist.stack.local import Stack

    stack = Stack(settings(), only)
    states = stack.states() | stack.external_states()
    slots = _slots() if POSTGRES in states and states[POSTGRES].phase in ("ready", "external") else None
    if output == "json":
        show_json([_with_slots(state, slots) for state in states.values()])
    else:
        _print(states.values(), output)
        _print_slots(slots or [])
    crashed, unreachable = _print_crashes(stack), _print_unreachable(states.values())
    if crashed or unreachable:
        sys.exit(1)


def _print_unreachable(states: Iterable[ServerState]) -> bool:
    """Name the servers of other machines that do not answer, with the reason; true if there are any."""
    unreachable = [state for state in states if state.phase == "unreachable"]
    for state in unreachable:
        click.secho(printable(f"{state.name} at {state.endpoint} is unreachable: {state.reason}"), fg="red", err=True)
    return bool(unreachable)


def _print_crashes(stack: Stack) -> bool:
    """Name the servers that have crashed, with the last lines of their logs; true if there are any."""
    crashed = [state for state in stack.states().values() if state.phase == "crashed"]
    for state in crashed:
        click.secho(printable(stack.obituary(state), LINES), fg="red", err=True)
    return bool(crashed)


def _slots() -> list[Slot] | None:
    """None when they cannot be seen, which is said and does not keep the servers from being shown."""
    from olist.settings import settings
    from olist.stack.slots import slots

    try:
        return slots(settings())
    except (BadInput, ServerTrouble) as error:
        click.secho(printable(f"replication slots: {error}"), fg="yellow", err=True)
        return None


def _print_slots(slots: Iterable[Slot]) -> None:
    """A slot that nobody reads makes PostgreSQL keep its WAL until the disk, or the slot's limit, is reached."""
    from olist.settings import settings

    for slot in slots:
        warning = slot.warning(settings().slot_warning_mb)
        click.echo(slot.line() + (click.style(f"  WARNING: {warning}", fg="yellow") if warning else ""))


def _with_slots(state: ServerState, slots: Iterable[Slot] | None) -> dict[str, Any]:
    """For a program: PostgreSQL has its `slots` beside what every server has, if they could be seen."""
    import msgspec

    from olist.settings import settings
    from olist.stack.slots import facts

    fields = msgspec.structs.asdict(state)
    if state.name == POSTGRES and slots is not None:
        fields["slots"] = facts(slots, settings().slot_warning_mb)
    return fields


@click.command()
@click.argument("server", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="go on with what comes, until Ctrl-C")
@click.option("-n", "--lines", default=50, show_default=True, help="last lines of each log")
def logs(server: str | None, following: bool, lines: int) -> None:
    """Show the last lines of one server's log, or of all of them and of their supervisor."""
    from itertools import chain

    from olist.settings import settings
    from olist.stack.local import Stack
    from olist.stack.processes import follow, recent

    stack = Stack(settings(), None if server in (None, SUPERVISOR) else [str(server)])
    names = [SUPERVISOR] if server == SUPERVISOR else [*stack.servers, *([SUPERVISOR] if server is None else [])]
    paths = {name: stack.home.log(name) for name in names}
    for name, line in chain(recent(paths, lines), follow(paths) if following else ()):
        line = printable(line, LINES)
        click.echo(line if len(paths) == 1 else f"{click.style(name, fg='cyan')} {line}")


@click.command()
@output
def doctor(output: str) -> None:
    """Look at versions, memory, disks, ports, limits and the cache, with a way out for each that is wrong.

    Exit code 1 when something would keep the servers from starting.
    """

    from olist.settings import settings
    from olist.stack.doctor import examine
    from olist.stack.view import findings_table
    from olist.terminal import show

    findings = list(examine(settings()))
    if output == "json":
        show_json(findings)
    else:
        show(findings_table(findings), prose=["found", "way out"])
    if any(finding.level == "FAIL" for finding in findings):
        sys.exit(1)


def _print(states: Iterable[ServerState], output: str) -> None:

    from olist.stack.view import states_table
    from olist.terminal import show

    if output == "json":
        show_json(list(states))
    else:
        show(states_table(states))


@click.group()
def stack() -> None:
    """What the servers are made of: renew the lock, fill the cache, make the lake's bucket elsewhere."""


@stack.command()
def lock() -> None:
    """Resolve every server's archives anew and write their hashes into the lock."""
    import tempfile
    from pathlib import Path

    from olist.stack.servers.artefacts import LOCK, format_lock, renew

    with tempfile.TemporaryDirectory() as folder:
        sections = renew(Path(folder), click.echo)
    LOCK.write_text(format_lock(sections), encoding="utf-8")
    click.echo(f"wrote {LOCK.name}")


@stack.command("make-bucket")
def make_bucket() -> None:
    """Create the lake's bucket (OLIST_S3_BUCKET) in the S3 in use; one that is there stays as it is."""
    from olist.settings import settings
    from olist.stack.servers.s3 import S3

    server = S3(settings())
    server.make_bucket()
    click.echo(f"bucket {settings().s3_bucket} is at {server.endpoint}")


@stack.command()
@only
def install(only: list[str] | None) -> None:
    """Fill the cache, so that `olist up --offline` needs no network."""
    from olist.settings import settings
    from olist.stack.local import Stack
    from olist.stack.view import LiveProgress
    from olist.terminal import console

    with LiveProgress(console(stderr=True)) as progress:
        Stack(settings(), only).install(progress)
