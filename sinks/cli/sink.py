"""`olist sink`: run a sink, look where sinks stand, rebuild a target from its topics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Event
from typing import Any

import click
import structlog
from rich.table import Table

from olist import contract_registry
from olist.contracts import Contract
from olist.errors import BadInput, PositionRefused
from olist.json_output import show_json
from olist.printable import LINES, printable
from olist.settings import Settings, settings
from olist.stop_signals import set_on_signal
from olist.terminal import show
from sinks.base import TARGETS, SinkTable

log = structlog.get_logger()

target_argument = click.argument("target", type=click.Choice(TARGETS))
tables_option = click.option("--tables", default="", help="Only these tables, comma separated; the default is all.")


@click.group("sink")
def command() -> None:
    """Carry topics to a target, exactly once where the target can.

    \b
    olist sink run iceberg                     until stopped (SIGTERM finishes the batch in hand)
    olist sink run postgres --tables orders    one table only
    olist sink status                          offsets behind the topics' ends
    olist sink rebuild opensearch              what a rebuild would remove; --yes does it
    olist sink resolve iceberg                 tables that another engine set back; --yes reads on from there
    """


@command.command("run")
@target_argument
@tables_option
@click.option("--interval", "interval_s", default=1.0, show_default=True, help="Seconds a batch gathers records.")
@click.option("--most", default=100_000, show_default=True, help="Records in one batch, over all tables.")
@click.option("--threads", default=4, show_default=True, help="Tables written side by side.")
@click.option("--instance", help="A name of its own for this process, so that a restart takes over at once.")
def run(target: str, tables: str, interval_s: float, most: int, threads: int, instance: str | None) -> None:
    """Run one sink process. Start several for one target and they share its partitions."""
    from olist.telemetry import configure_logging, serve_metrics
    from olist.topics.admin import ensure_topic, ensure_topics
    from olist.topics.broker import Broker
    from olist.topics.dead_letters import TOPIC_CONFIG, dead_letter_topic
    from sinks.cli.histories import short_topics
    from sinks.runtime.process import run_sink
    from sinks.runtime.retry import Retry

    current = settings()
    configure_logging(current)
    serve_metrics(current)
    contracts = contracts_for(target, tables)
    stopping = Event()
    set_on_signal(stopping)
    Broker(current).names()  # no Kafka at all is the user's to know at once; one that goes away later is waited for
    retry = Retry(current.patience_s, stopping, time.monotonic)
    retry.call("topics", lambda: ensure_topics(current, contracts))
    for warning in retry.call("topics", lambda: short_topics(contracts, current) if target == "iceberg" else []):
        log.warning("short history", reason=warning)
    retry.call("dead letters", lambda: ensure_topic(current, dead_letter_topic(current), TOPIC_CONFIG))
    run_sink(current, target, contracts, stopping, most=most, interval_s=interval_s, threads=threads, instance=instance)


@command.command("rebuild")
@target_argument
@tables_option
@click.option("--with-history", is_flag=True, help="Also what holds every change: a compacted topic gives it no more.")
@click.option("--yes", is_flag=True, help="Do it; without this it only shows what would be removed.")
def rebuild(target: str, tables: str, with_history: bool, yes: bool) -> None:
    """Empty a target's tables so that the sink reads their topics from the beginning. Stop its sinks first.

    A history of all changes stays, and goes on above what it holds, unless told otherwise. Without --yes it reads the
    topics, to say which rows and changes they can no longer give.
    """
    from sinks.base import factory

    current = settings()
    if yes:
        refuse_members(target, current)
    views: set[str] = set()
    for contract in contracts_for(target, tables):
        table = factory(target)(contract, current)
        views.update(table.dependents())
        if yes:
            table.drop()
            click.echo(f"removed {target} table {contract.table}")
        else:
            click.echo(f"would remove {target} table {contract.table} ({_stands(target, contract, current)})")
        _rebuild_histories(table, with_history=with_history, yes=yes)
        if not yes:
            _show_losses(target, contract, current, with_history=with_history)
    if views:
        click.echo(f"{'removed' if yes else 'would remove'} with them: {', '.join(sorted(views))}")
    again = f"now: `olist sink run {target}`" + (", and `olist marts apply` once its tables are there" if views else "")
    click.echo(again if yes else "nothing was removed; --yes does it")


def refuse_members(target: str, current: Settings) -> None:
    """Refuse to go on beside processes that write the target.

    Raises:
        BadInput: naming them.
    """
    from olist.topics.admin import admin_client
    from sinks.group import group_of, members

    if running := members(admin_client(current), group_of(current, target)):
        raise BadInput(
            f"the {target} sink runs, and would write while its tables are removed: {', '.join(sorted(running))}",
            hint=f"stop it first; one that was killed is forgotten after {current.session_timeout_ms / 1000:g} s",
        )


def _show_losses(target: str, contract: Contract, current: Settings, *, with_history: bool) -> None:
    from sinks.cli.rebuild import losses

    for loss in losses(target, contract, current, with_history=with_history and target == "iceberg"):
        click.echo(f"  cannot be read again: {printable(loss, LINES)}")


def _stands(target: str, contract: Contract, current: Settings) -> str:
    from sinks.readback import read_positions

    try:
        positions = read_positions(target, contract, current)
    except PositionRefused as refused:  # which a rebuild is a way out of
        return str(refused)
    return f"stands at offsets {positions.next}" if positions else "never written"


def _rebuild_histories(table: SinkTable[Any], *, with_history: bool, yes: bool) -> None:
    there = table.drop_histories() if yes and with_history else table.histories()
    done = "keeps" if not with_history else "removed" if yes else "would remove"
    for name in there:
        click.echo(f"{done} {table.name} history {name}" + ("" if with_history else " (--with-history removes it)"))
    table.close()


@command.command("resolve")
@click.argument("target", type=click.Choice(["iceberg"]))
@tables_option
@click.option("--yes", is_flag=True, help="Do it; without this it only shows where the rows stand.")
def resolve(target: str, tables: str, yes: bool) -> None:
    """Accept the rows of tables that another engine set back, and have sinks read on from where those stand."""
    from sinks.iceberg.resolve import resolve as resolve_lake

    current = settings()
    found = [one for contract in contracts_for(target, tables) for one in resolve_lake(contract, current, apply=yes)]
    for resolution in found:
        click.echo(resolution)
    if any(resolution.committed for resolution in found):
        click.echo(f"now: `olist sink run {target}`" if yes else "nothing was changed; --yes does it")


@command.command("status")
@tables_option
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print it.")
def status(tables: str, output: str) -> None:
    """Where each target stands: offsets behind the end of its topic, per table. Looking changes nothing.

    Below the table: targets that do not answer, tables that wait or have stopped in a sink, and histories that may lack
    changes because they stood still for longer than their topic keeps every one.
    """
    from sinks.cli.status import status as found_status

    current = settings()
    found = found_status(contracts_there(current, tables), current)
    if output == "json":
        show_json(found.facts())
        return
    shown = Table("table", *TARGETS, box=None)
    for table, lags in found.lags.items():
        shown.add_row(table, *(_cell(lags[target]) for target in TARGETS))
    show(shown)
    for remark in found.remarks():
        click.echo(f"\n{printable(remark, LINES)}")


def _cell(offsets: int | str | None) -> str:
    return "-" if offsets is None else "?" if isinstance(offsets, str) else f"{offsets:,}"


def contracts_for(target: str | None, tables: str) -> Sequence[Contract]:
    """The contracts named, or all that the target takes.

    Raises:
        BadInput: a name that is no table.
    """
    known = contract_registry.contracts()
    names = [name.strip() for name in tables.split(",") if name.strip()] or list(known)
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"no table named {', '.join(unknown)}", hint=f"tables: {', '.join(known)}")
    return [known[name] for name in names if target is None or target in known[name].targets]


def contracts_there(current: Settings, tables: str) -> Sequence[Contract]:
    """As `contracts_for`; without names, an app's output only when its topic is there: apps need not run."""
    from olist.topics.broker import Broker

    if tables.strip():
        return contracts_for(None, tables)
    there = set(Broker(current).names())
    optional = contract_registry.derived()
    return [c for c in contracts_for(None, "") if c.table not in optional or c.topic(current.topic_prefix) in there]
