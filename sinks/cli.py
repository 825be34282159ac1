"""`olist sink`: run a sink, look where sinks stand, rebuild a target from its topics."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from threading import Event

import click
import msgspec
from rich.console import Console
from rich.table import Table

from olist import derived
from olist.contracts import Contract
from olist.errors import BadInput
from olist.settings import Settings, settings
from sinks.targets import TARGETS

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
    from olist.dead_letters import TOPIC_CONFIG, dead_letter_topic
    from olist.telemetry import configure_logging, serve_metrics
    from olist.topics.admin import ensure_topic, ensure_topics
    from olist.topics.survey import Broker
    from sinks.patience import Patience
    from sinks.runner import run_sink

    current = settings()
    configure_logging(current)
    serve_metrics(current)
    contracts = contracts_for(target, tables)
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    Broker(current).names()  # no Kafka at all is the user's to know at once; one that goes away later is waited for
    patience = Patience(current.patience_s, stopping, time.monotonic)
    patience.insist("topics", lambda: ensure_topics(current, contracts))
    patience.insist("dead letters", lambda: ensure_topic(current, dead_letter_topic(current), TOPIC_CONFIG))
    run_sink(current, target, contracts, stopping, most=most, interval_s=interval_s, threads=threads, instance=instance)


@command.command("rebuild")
@target_argument
@tables_option
@click.option("--yes", is_flag=True, help="Do it; without this it only shows what would be removed.")
def rebuild(target: str, tables: str, yes: bool) -> None:
    """Empty a target's tables so that the sink reads their topics from the beginning. Stop its sinks first."""
    from sinks.check.held import read_positions
    from sinks.targets import factory

    current = settings()
    views: set[str] = set()
    for contract in contracts_for(target, tables):
        table = factory(target)(contract, current)
        views.update(table.drops_with_it())
        if yes:
            table.drop()
            table.close()
            click.echo(f"removed {target} table {contract.table}")
        else:
            held = read_positions(target, contract, current)
            told = f"stands at offsets {held.next}" if held else "never written"
            click.echo(f"would remove {target} table {contract.table} ({told})")
    if views:
        click.echo(f"{'removed' if yes else 'would remove'} with them: {', '.join(sorted(views))}")
    again = f"now: `olist sink run {target}`" + (", and `olist marts apply` once its tables are there" if views else "")
    click.echo(again if yes else "nothing was removed; --yes does it")


@command.command("status")
@tables_option
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to print it.")
def status(tables: str, output: str) -> None:
    """Where each target stands: offsets behind the end of its topic, per table. Looking changes nothing."""
    from olist.topics.admin import admin_client, topic_states
    from sinks.lag import lag

    current = settings()
    contracts = contracts_there(current, tables)
    states = topic_states(admin_client(current.kafka_bootstrap), [c.topic(current.topic_prefix) for c in contracts])
    behind = {
        contract.table: {t: lag(t, contract, current, states[contract.topic(current.topic_prefix)]) for t in TARGETS}
        for contract in contracts
    }
    if output == "json":
        click.echo(msgspec.json.encode(behind))
        return
    shown = Table("table", *TARGETS, box=None)
    for table, lags in behind.items():
        shown.add_row(table, *("-" if lags[t] is None else f"{lags[t]:,}" for t in TARGETS))
    Console().print(shown)


def contracts_for(target: str | None, tables: str) -> Sequence[Contract]:
    """The contracts named, or all that the target takes.

    Raises:
        BadInput: a name that is no table.
    """
    known = derived.contracts()
    names = [name.strip() for name in tables.split(",") if name.strip()] or list(known)
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"no table named {', '.join(unknown)}", hint=f"tables: {', '.join(known)}")
    return [known[name] for name in names if target is None or target in known[name].targets]


def contracts_there(current: Settings, tables: str) -> Sequence[Contract]:
    """As `contracts_for`; without names, an app's output only when its topic is there: apps need not run."""
    from olist.topics.survey import Broker

    if tables.strip():
        return contracts_for(None, tables)
    there = set(Broker(current).names())
    optional = derived.derived()
    return [c for c in contracts_for(None, "") if c.table not in optional or c.topic(current.topic_prefix) in there]
