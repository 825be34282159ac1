"""`olist replay --to postgres`, under the eyes of the user; and `olist shop migrate`."""

from __future__ import annotations

import time

import click

from olist.settings import Settings, settings
from olist.source import Dataset
from olist.terminal import console
from producers.display import event_time, shown
from producers.pace import Pace
from producers.replay import Progress
from producers.shop.documents import Collection
from producers.shop.migrate import migrate
from producers.shop.replay import Run, empty, make_plan
from producers.stopping import stop_signals
from producers.summary import Summary


def send_to_shop(
    current: Settings, dataset: Dataset, limit: int | None, pace: Pace, *, reviews: str, from_start: bool, ask: bool
) -> Summary:
    """Write what the shop's database does not hold yet."""
    elsewhere = Collection(current) if reviews == "mongodb" else None
    if from_start:
        if ask:
            click.confirm("delete every row of the shop's database?", abort=True, err=True)
        empty(current)
    plan = make_plan(dataset, current, limit)
    progress = Progress(total=plan.changes.height)
    run = Run(current, plan, pace, progress, reviews=elsewhere)
    started_s, started_cpu_s = time.monotonic(), time.process_time()
    with stop_signals(progress, "the shop's last commits"), shown(progress, console(stderr=True)):
        run.go()
    seconds, cpu_s = time.monotonic() - started_s, time.process_time() - started_cpu_s
    reached = None if progress.event_us is None else event_time(progress.event_us)
    left = plan.changes.height - run.sent
    return Summary(plan.done, run.sent, left, seconds, cpu_s, reached, progress.stopped_by, "in the shop's database")


@click.group("shop")
def shop() -> None:
    """The shop's database, from which change data capture takes its changes."""


@shop.command("migrate")
def migrate_command() -> None:
    """Create the database where it is missing and bring its schema up to date."""
    applied = migrate(settings())
    click.echo("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
