"""`olist replay`: arguments in, a summary out; it imports what replays when there is something to replay."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from olist.contracts import Contract
from olist.errors import BadInput
from olist.json_output import show_json
from olist.tables import TABLES

if TYPE_CHECKING:
    from olist.settings import Settings
    from olist.source import Dataset
    from producers.rate import Pace
    from producers.replay import Plan
    from producers.summary import Summary

DEFAULT_DATA = Path("../shared/olist/brazilian-ecommerce.zip")
SIGNAL_EXIT = 128  # a process that a signal ended leaves 128 + its number, by the shells' convention


def chosen_tables(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[Contract, ...]:
    """The contracts named by ``--tables``."""
    names = list(TABLES) if value is None else [name.strip() for name in value.split(",")]
    if unknown := [name for name in names if name not in TABLES]:
        raise click.BadParameter(f"no such table: {', '.join(unknown)}; there are {', '.join(TABLES)}")
    return tuple(TABLES[name] for name in names)


@click.command("replay")
@click.option("--data", type=click.Path(path_type=Path), help=f"Kaggle's zip or its folder  [default: {DEFAULT_DATA}]")
@click.option(
    "--to",
    "road",
    type=click.Choice(["kafka", "postgres"]),
    default="kafka",
    help="straight onto the topics, or into the shop's database, from where Debezium brings them there",
)
@click.option(
    "--reviews",
    type=click.Choice(["postgres", "mongodb"]),
    default="postgres",
    help="where the shop keeps its reviews (with --to postgres)",
)
@click.option("--speed", type=click.FloatRange(0, min_open=True), help="event seconds per second, as 3600")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="changes per second at most")
@click.option("--limit", type=click.IntRange(1), help="end after this many changes; the next run goes on after them")
@click.option("--tables", callback=chosen_tables, help="only these, separated by commas")
@click.option("--from-start", is_flag=True, help="delete the tables' topics first and write them anew")
@click.option("--yes", is_flag=True, help="do not ask before topics are deleted")
@click.option("--dry-run", is_flag=True, help="count what would be sent, without Kafka")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="how the summary is written")
def replay(
    data: Path | None,
    road: str,
    reviews: str,
    speed: float | None,
    rate: float | None,
    limit: int | None,
    tables: tuple[Contract, ...],
    from_start: bool,
    yes: bool,
    dry_run: bool,
    output: str,
) -> None:
    """Write the Olist orders' lives to Kafka as change events, in event-time order; or to the shop as transactions.

    As fast as it goes, or at --speed or --rate. A run that was stopped, however it was, goes on where it stopped when
    it is started again: what is on the topics already is found out from the topics. A complete one has nothing to do.
    """
    from olist.settings import settings
    from olist.source import load
    from producers.rate import Pace
    from producers.replay import make_plan

    dataset = load(found_data(data))
    if dry_run:
        from olist.terminal import show
        from producers.summary import dry_run_of

        counts = dry_run_of(dataset, tables, limit)
        show(counts.as_table()) if output == "text" else show_json(counts.as_json())
        return
    current, pace = settings(), Pace(speed, rate)
    if road == "postgres":
        refuse_some_tables(tables)
        done = send_to_shop(current, dataset, limit, pace, reviews=reviews, from_start=from_start, ask=not yes)
        _end(done, output)
        return
    if from_start:
        from olist.topics.admin import delete_topics

        topics = [contract.topic(current.topic_prefix) for contract in tables]
        if not yes:
            click.confirm(f"delete {', '.join(topics)} with all they hold?", abort=True, err=True)
        delete_topics(current, topics)
    _end(send(current, make_plan(dataset, current, tables, limit), pace), output)


def refuse_some_tables(tables: tuple[Contract, ...]) -> None:
    """The shop's rows refer to each other.

    Raises:
        BadInput: not all tables are named.
    """
    if len(tables) < len(TABLES):
        raise BadInput("--tables is for the topics: in the shop's database, rows of one table need those of others")


def _end(done: Summary, output: str) -> None:
    """Say what was done; a run that a signal ended says so in its exit code."""
    click.echo(done.as_text()) if output == "text" else show_json(done.as_json())
    if done.stopped_by is not None:
        sys.exit(SIGNAL_EXIT + done.stopped_by)


def send(current: Settings, plan: Plan, pace: Pace) -> Summary:
    """Carry a plan out under the eyes of the user."""
    from olist.terminal import console
    from producers.kafka_producer import Sender
    from producers.progress import Progress, event_time, shown, stopping
    from producers.replay import FULL_SPEED_LINGER_MS, PACED_LINGER_MS, Run, check_ends
    from producers.summary import Summary

    progress = Progress(total=plan.changes.height)
    sender = Sender(current, linger_ms=PACED_LINGER_MS if pace.waits else FULL_SPEED_LINGER_MS)
    run = Run(plan, sender, pace, progress)
    check_ends(current, plan.ends_after(0))
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    try:
        with stopping(progress, "Kafka's last acknowledgements"), shown(progress, console(stderr=True)):
            run.go()
    finally:
        sender.abandon()
    seconds, cpu_s = time.monotonic() - started_s, time.process_time() - started_cpu_s
    check_ends(current, plan.ends_after(run.sent))
    reached = None if progress.event_us is None else event_time(progress.event_us)
    left = plan.changes.height - run.sent
    return Summary(plan.done, run.sent, left, seconds, cpu_s, reached, progress.stopped_by)


def send_to_shop(
    current: Settings, dataset: Dataset, limit: int | None, pace: Pace, *, reviews: str, from_start: bool, ask: bool
) -> Summary:
    """Write what the shop's database does not hold yet, under the eyes of the user."""
    from olist.terminal import console
    from producers.progress import Progress, event_time, shown, stopping
    from producers.shop.documents import Collection
    from producers.shop.replay import Run, empty, make_plan
    from producers.summary import Summary

    elsewhere = Collection(current) if reviews == "mongodb" else None
    if from_start:
        if ask:
            click.confirm("delete every row of the shop's database?", abort=True, err=True)
        empty(current)
    plan = make_plan(dataset, current, limit)
    progress = Progress(total=plan.changes.height)
    run = Run(current, plan, pace, progress, reviews=elsewhere)
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    with stopping(progress, "the shop's last commits"), shown(progress, console(stderr=True)):
        run.go()
    seconds, cpu_s = time.monotonic() - started_s, time.process_time() - started_cpu_s
    reached = None if progress.event_us is None else event_time(progress.event_us)
    left = plan.changes.height - run.sent
    return Summary(plan.done, run.sent, left, seconds, cpu_s, reached, progress.stopped_by, "in the shop's database")


def found_data(data: Path | None) -> Path:
    """The data set asked for, or the default one when it is there.

    Raises:
        BadInput: there is none, with the ways to get one.
    """
    if data is not None:
        return data
    if DEFAULT_DATA.exists():
        return DEFAULT_DATA
    raise BadInput(
        f"no data set: {DEFAULT_DATA} is not there and no --data PATH was given",
        hint="`olist generate` makes a synthetic one, `olist download` fetches the real one from Kaggle; then --data",
    )
