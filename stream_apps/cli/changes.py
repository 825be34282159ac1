"""The commands of `olist apps` that change one deployed app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from olist.errors import BadInput, StackError
from olist.json_output import show_json
from stream_apps.cli.options import (
    file_option,
    name_argument,
    operations_on,
    output_option,
    within_option,
    yes_option,
)

if TYPE_CHECKING:
    from stream_apps.deploy.operations import UpgradePlan
    from stream_apps.deploy.upgrade import Outcome

REBUILT_FROM = (
    "a rebuild reads what the topics hold now: of changes that Kafka has compacted away, an app that counts changes, "
    "and not rows alone, knows nothing (docs/apps.md, Upgrades)"
)


@click.command("savepoint")
@name_argument
@output_option
def savepoint(name: str, output: str) -> None:
    """Write an app's state down while it goes on, and print where."""

    with operations_on(name) as operations:
        taken = operations.savepoint().savepoint
    show_json({"name": name, "savepoint": taken}) if output == "json" else click.echo(taken)


@click.command("stop")
@name_argument
@click.option("--drain", is_flag=True, help="Let every timer and window fire first: for an app that will not go on.")
def stop(name: str, drain: bool) -> None:
    """Stop an app with its state written down; `olist apps restart` goes on from exactly there."""
    with operations_on(name) as operations:
        operations.stop(drain=drain)
    click.echo(f"{name}: stopped")


@click.command("restart")
@name_argument
@within_option
def restart(name: str, within_s: float) -> None:
    """Stop an app, if it runs, and start the same version again from where it stopped."""
    with operations_on(name, within_s) as operations:
        record = operations.restart()
    click.echo(f"{name}: version {record.current} is healthy")


@click.command("scale")
@name_argument
@click.argument("parallelism", type=click.IntRange(1))
@within_option
def scale(name: str, parallelism: int, within_s: float) -> None:
    """Run an app with so many parallel tasks, or workers, from where it stands.

    More than its topics have partitions would idle.
    """
    with operations_on(name, within_s) as operations:
        operations.restart(parallelism)
    click.echo(f"{name}: healthy with parallelism {parallelism}")


@click.command("upgrade")
@name_argument
@click.option("--plan", "only_plan", is_flag=True, help="Only say what differs, and what becomes of the state.")
@click.option("--rebuild", is_flag=True, help="Build the state anew beside the old version, then take its place.")
@click.option("--anyway", is_flag=True, help="Try it although the plan says that the state is refused.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@file_option
@within_option
@output_option
def upgrade(
    name: str,
    only_plan: bool,
    rebuild: bool,
    anyway: bool,
    yes: bool,
    path: Path | None,
    within_s: float,
    output: str,
) -> None:
    """Go to the file as it is now. If the new version does not become healthy, the old one goes on from its savepoint.

    \b
    olist apps upgrade order_documents --plan
    olist apps upgrade order_documents --yes
    olist apps upgrade order_documents --rebuild    for a change that no savepoint can carry

    \b
    What becomes of the state:
    restored                           the new version goes on where the old one stopped
    restored, old rows not rewritten   the same; rows change their form only when their inputs change again
    state refused                      only --rebuild can do it; nothing is stopped
    """
    from stream_apps.catalogue import app_file

    code = path or app_file(name)
    with operations_on(name, within_s) as operations, operations.planned(code) as plan:
        _show_plan(name, plan.difference, plan.verdict.road, plan.verdict.why, output if only_plan else "table")
        if only_plan or not (plan.difference or rebuild):
            return
        if not (plan.verdict.carries or rebuild or anyway):
            raise BadInput(
                f"{name}: state refused, nothing was stopped: {plan.verdict.why}",
                hint=f"olist apps upgrade {name} --rebuild",
            )
        if rebuild:
            click.echo(REBUILT_FROM, err=True)
        if not yes:
            click.confirm("upgrade?", abort=True, err=True)
        outcome = operations.upgrade(plan.code, rebuild=rebuild)
    _conclude(name, outcome, f"olist apps upgrade {name} --rebuild")
    click.echo(f"{name}: version {operations.app.record().current} is healthy; its state: {_fate(rebuild, plan)}")


def _fate(rebuild: bool, plan: UpgradePlan) -> str:
    return "built anew" if rebuild else plan.verdict.road


def _show_plan(name: str, difference: str, road: str, why: str, output: str) -> None:
    if output == "json":
        show_json({"name": name, "difference": difference, "road": road, "why": why})
        return
    for line in difference.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.secho(line, fg=colour)
    click.echo(f"{name}: {road}: {why}" if difference else f"{name}: nothing differs")


@click.command("rollback")
@name_argument
@yes_option
@within_option
def rollback(name: str, yes: bool, within_s: float) -> None:
    """Back to the version before the last upgrade, from where it stood then.

    A Flink app's savepoint holds how far it had read, so it reads again what came since, and writes each of those rows
    once more in its own form: outputs are keyed, so they replace the newer version's. A Faust app goes on with the
    states as the newer version left them, and writes all rows from them. A key that only the newer version wrote stays.
    After a rebuild, the rows that were exchanged come back first.
    """
    with operations_on(name, within_s) as operations:
        record = operations.app.record()
        if record.previous is None or not yes:
            click.echo(f"would go from version {record.current} back to {record.previous or 'none: there is no other'}")
        if not yes:
            return
        outcome = operations.rollback()
    _conclude(name, outcome, f"olist apps logs {name}")
    click.echo(f"{name}: version {operations.app.record().current} is healthy")


def _conclude(name: str, outcome: Outcome, way_out: str) -> None:
    """Raise unless the new version runs."""
    if outcome.end == "done":
        return
    ends = {
        "untouched": "the old version goes on; should it have stopped, the supervisor starts it again from there",
        "put back": "the old version runs again from where it stopped",
        "left stopped": "the app stays stopped, with its old version",
        "broken": "and the old version could not be put back yet; the supervisor goes on trying",
    }
    raise StackError(f"{name}: not done, {ends[outcome.end]}: {outcome.problem}", hint=way_out)


@click.command("delete")
@name_argument
@yes_option
def delete(name: str, yes: bool) -> None:
    """Stop an app and remove its versions, its state and its groups. The topics that it wrote stay."""
    with operations_on(name) as operations:
        for line in operations.planned_removals():
            click.echo(f"{'removing' if yes else 'would remove'} {line}")
        if yes:
            operations.delete()
    click.echo(f"{name}: deleted" if yes else "nothing was removed; --yes does it")


COMMANDS = (savepoint, stop, restart, scale, upgrade, rollback, delete)
