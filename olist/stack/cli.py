"""`olist up | down | status | logs | stack`: thin commands over `local.Stack`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from rich.console import Console

from olist.settings import settings
from olist.stack.artefacts import LOCK, format_lock
from olist.stack.local import Stack
from olist.stack.resolve import renew
from olist.stack.state import ServerState
from olist.stack.view import LiveProgress, states_table

output = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="how to print it")


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else [name.strip() for name in value.split(",") if name.strip()]


only = click.option("--only", callback=_names, metavar="NAME[,NAME]", help="these servers instead of all")


@click.command()
@only
@click.option("--offline", is_flag=True, help="never download; fail when the cache lacks something")
@output
def up(only: list[str] | None, offline: bool, output: str) -> None:
    """Start the servers of this machine and wait until all are ready; those that run are left alone."""
    chosen = settings()
    if offline:
        chosen = chosen.model_copy(update={"offline": True})
    with LiveProgress(Console(stderr=True)) as progress:
        states = Stack(chosen, only).up(progress)
    _print(states.values(), output)


@click.command()
@click.option("--delete", is_flag=True, help="then remove data, logs and run state (lists them, asks)")
@click.option("--yes", is_flag=True, help="do not ask")
@only
def down(delete: bool, yes: bool, only: list[str] | None) -> None:
    """Stop the servers, gracefully within a deadline."""
    running = Stack(settings(), only)
    running.down()
    if delete:
        _delete(running, yes=yes)


def _delete(stopped: Stack, *, yes: bool) -> None:
    paths = stopped.data()
    for path in paths:
        click.echo(f"{path}")
    if paths and (yes or click.confirm("Remove all of these?")):
        stopped.delete()


@click.command()
@only
@output
def status(only: list[str] | None, output: str) -> None:
    """Show every server: state, address, process, memory. Exit code 1 when one has crashed."""
    states = Stack(settings(), only).states()
    _print(states.values(), output)
    if any(state.phase == "crashed" for state in states.values()):
        sys.exit(1)


def _print(states: Iterable[ServerState], output: str) -> None:
    if output == "json":
        click.echo(msgspec.json.encode(list(states)))
    else:
        Console().print(states_table(states))


@click.group()
def stack() -> None:
    """What the servers are made of: renew the lock, fill the cache."""


@stack.command()
def lock() -> None:
    """Resolve every server's archives anew and write their hashes into the lock."""
    sections = renew(_maven_cache(), click.echo)
    LOCK.write_text(format_lock(sections), encoding="utf-8")
    click.echo(f"wrote {LOCK.name}")


def _maven_cache() -> Path:
    return settings().cache.resolve() / "lock"


@stack.command()
@only
def install(only: list[str] | None) -> None:
    """Fill the cache, so that `olist up --offline` needs no network."""
    with LiveProgress(Console(stderr=True)) as progress:
        Stack(settings(), only).install(progress)
