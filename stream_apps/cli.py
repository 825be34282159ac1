"""`olist apps`: run, deploy and watch stream apps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from olist.errors import BadInput, StackError
from olist.settings import Settings, settings
from stream_apps import catalogue
from stream_apps.app import App, FlinkApp
from stream_apps.deploy import keeping
from stream_apps.deploy.folder import Deployment, deployments
from stream_apps.deploy.loading import engine_of, file_of, load_app

if TYPE_CHECKING:
    from stream_apps.deploy.change import Outcome
    from stream_apps.deploy.operations import Operations

BUSY_S = 90.0
"""How long a command waits for another, or for the keeper, to leave an app alone."""

name_argument = click.argument("name")
output_option = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
yes_option = click.option("--yes", is_flag=True, help="Do it; without this it only says what it would do.")
file_option = click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), help="The app's file, when it is elsewhere."
)
within_option = click.option(
    "--within", "within_s", default=180.0, show_default=True, help="Seconds in which it must become healthy."
)


@click.group("apps")
def command() -> None:
    """Run, deploy and watch stream apps. One file of stream_apps/ is one app.

    \b
    olist apps list                          every app: engine, reads, writes
    olist apps deploy order_documents        run it for good; returns when it is healthy
    olist apps status                        state, lag, freshness, checkpoints; exit code 1 when one is not well
    olist apps upgrade order_documents       the changed file takes over the state; goes back by itself if it cannot
    olist apps rollback order_documents      back to the version before
    """


@command.command("list")
@output_option
def list_command(output: str) -> None:
    """Every app there is: its engine, what it reads and writes, and whether it is deployed."""
    deployed = deployments(settings())
    found = [_described(app, deployed.get(name)) for name, app in catalogue.apps().items()]
    if output == "json":
        click.echo(msgspec.json.encode(found))
        return
    table = Table("app", "engine", "reads", "writes", "deployed", box=None, header_style="bold")
    for one in found:
        table.add_row(one["name"], one["engine"], ", ".join(one["reads"]), ", ".join(one["writes"]), one["deployed"])
    Console().print(table)


def _described(app: App, deployment: Deployment | None) -> dict[str, Any]:
    reads = app.reads if isinstance(app, FlinkApp) else [given.contract for given in app.reads]
    record = deployment.record() if deployment else None
    return {
        "name": app.name,
        "engine": engine_of(app),
        "reads": list(dict.fromkeys(contract.table for contract in reads)),
        "writes": [contract.table for contract in app.outputs],
        "deployed": f"version {record.current}, {record.wanted}" if record else "",
    }


@command.command("run")
@name_argument
@file_option
def run(name: str, path: Path | None) -> None:
    """Run an app in the foreground until Ctrl-C, from the beginning of its topics; its state goes with it.

    \b
    olist apps run order_documents
    olist apps run mine --file ./mine.py
    """
    from stream_apps.deploy.foreground import run_here

    current = settings()
    record = Deployment.of(current, name).record()
    if record is not None and record.wanted == "running":
        raise BadInput(f"{name} is deployed, and two must not write its topics", hint=f"olist apps stop {name}")
    run_here(current, path or file_of(name), click.echo)


@command.command("deploy")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every app of stream_apps/, one after the other.")
@click.option("--engine", type=click.Choice(["flink", "faust"]), help="With --all: only this engine's.")
@click.option("--target", type=click.Choice(["local", "k8s"]), default="local", show_default=True)
@click.option("--parallelism", type=click.IntRange(1), default=1, show_default=True)
@click.option("--dry-run", is_flag=True, help="Only print what would be deployed (k8s: the manifests).")
@file_option
@within_option
def deploy(
    name: str | None,
    everything: bool,
    engine: str | None,
    target: str,
    parallelism: int,
    dry_run: bool,
    path: Path | None,
    within_s: float,
) -> None:
    """Run an app for good, and return when it is healthy. One that runs already is left alone.

    \b
    olist apps deploy --all
    olist apps deploy mine --file ./mine.py --parallelism 2
    olist apps deploy order_documents --target k8s --dry-run    the manifests, for kubectl
    """
    if (name is None) != everything:
        raise click.UsageError("name one app, or say --all")
    wanted = [one for one, app in catalogue.apps().items() if engine in (None, engine_of(app))]
    paths = [file_of(one) for one in wanted] if everything else [path or file_of(str(name))]
    if target == "k8s":
        _print_manifests(paths, parallelism, dry_run=dry_run)
        return
    for one in paths:
        app = load_app(one)
        if dry_run:
            click.echo(f"would deploy {app.name} ({engine_of(app)}, parallelism {parallelism}) from {one}")
            continue
        with _operations(app.name, within_s, app) as operations:
            record = operations.deploy(one, parallelism)
        click.echo(f"{app.name}: version {record.current} is healthy")


def _print_manifests(paths: Sequence[Path], parallelism: int, *, dry_run: bool) -> None:
    from stream_apps.deploy.k8s import manifests
    from stream_apps.deploy.k8s_plan import plan_for

    if not dry_run:
        raise BadInput(
            "manifests are applied by kubectl, not by this command",
            hint="olist apps deploy NAME --target k8s --dry-run | kubectl apply -f -",
        )
    for path in paths:
        app = load_app(path)
        click.echo(manifests(app, path.read_text("utf-8"), plan_for(settings(), app), parallelism), nl=False)


@command.command("status")
@click.argument("names", nargs=-1)
@output_option
def status(names: tuple[str, ...], output: str) -> None:
    """How deployed apps are: state, lag, freshness, checkpoints. Exit code 1 when one is not as it is wanted."""
    from stream_apps.deploy.status import status_of
    from stream_apps.deploy.view import status_table

    current = settings()
    keeping.begin(current)
    there = {
        name: (deployment, record)
        for name, deployment in deployments(current).items()
        if (record := deployment.record())
    }
    if unknown := set(names) - set(there):
        raise BadInput(f"not deployed: {', '.join(sorted(unknown))}", hint=f"deployed: {', '.join(there) or 'none'}")
    found = [status_of(current, *there[name]) for name in (names or there)]
    if output == "json":
        click.echo(msgspec.json.encode(found))
    else:
        Console().print(status_table(found) if found else "nothing is deployed; `olist apps deploy NAME`")
        for one in found:
            if not one.well and "\n" in one.error:
                click.echo(f"\n{one.name}:\n{one.error}")
    sys.exit(0 if all(one.well for one in found) else 1)


@command.command("wait")
@click.argument("names", nargs=-1)
@click.option("--within", "within_s", default=300.0, show_default=True, help="Seconds to wait at most.")
def wait(names: tuple[str, ...], within_s: float) -> None:
    """Return when the apps that run have nothing left to read; for scripts that load data once."""
    from stream_apps.deploy.idle import until_idle
    from stream_apps.deploy.status import status_of
    from stream_apps.deploy.view import Telling

    current = settings()
    keeping.begin(current)
    there = [d for name, d in deployments(current).items() if not names or name in names]

    def look() -> list[Any]:
        return [status_of(current, d, record) for d in there if (record := d.record())]

    with Telling(Console(stderr=True)) as tell:
        for left in until_idle(look, within_s):
            tell("", behind=left)


@command.command("logs")
@name_argument
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, help="Last lines of each log.")
def logs(name: str, following: bool, lines: int) -> None:
    """An app's log: its workers', or that of the Flink cluster which runs it, and the keeper's word on it."""
    from olist.stack.home import Home
    from olist.stack.logs import follow, recent
    from stream_apps.deploy.engines import engine_named
    from stream_apps.deploy.versions import place

    current = settings()
    deployment = Deployment.of(current, name)
    record = _deployed(deployment)
    engine = engine_named(record.engine, current)
    paths = {path.stem: path for path in engine.logs(place(deployment, record, record.current))}
    paths[keeping.KEEPER] = Home(current.home.resolve()).log(keeping.KEEPER)
    for source, line in chain(recent(paths, lines), follow(paths) if following else ()):
        if source != keeping.KEEPER or name in line:
            click.echo(f"{click.style(source, fg='cyan')} {line}")


@command.command("savepoint")
@name_argument
@output_option
def savepoint(name: str, output: str) -> None:
    """Write an app's state down while it goes on, and print where."""
    with _operations(name) as operations:
        taken = operations.savepoint().savepoint
    click.echo(msgspec.json.encode({"name": name, "savepoint": taken}) if output == "json" else taken)


@command.command("stop")
@name_argument
@click.option("--drain", is_flag=True, help="Let every timer and window fire first: for an app that will not go on.")
def stop(name: str, drain: bool) -> None:
    """Stop an app with its state written down; `olist apps restart` goes on from exactly there."""
    with _operations(name) as operations:
        operations.stop(drain=drain)
    click.echo(f"{name}: stopped")


@command.command("restart")
@name_argument
@within_option
def restart(name: str, within_s: float) -> None:
    """Stop an app, if it runs, and start the same version again from where it stopped."""
    with _operations(name, within_s) as operations:
        record = operations.restart()
    click.echo(f"{name}: version {record.current} is healthy")


@command.command("scale")
@name_argument
@click.argument("parallelism", type=click.IntRange(1))
@within_option
def scale(name: str, parallelism: int, within_s: float) -> None:
    """Run an app with so many parallel tasks, or workers, from where it stands.

    More than its topics have partitions would idle.
    """
    with _operations(name, within_s) as operations:
        operations.restart(parallelism)
    click.echo(f"{name}: healthy with parallelism {parallelism}")


@command.command("upgrade")
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

    What becomes of the state:
    \b
    restored                           the new version goes on where the old one stopped
    restored, old rows not rewritten   the same; rows change their form only when their inputs change again
    state refused                      only --rebuild can do it; nothing is stopped
    """
    code = path or file_of(name)
    with _operations(name, within_s) as operations:
        plan = operations.plan(code)
        _show_plan(name, plan.difference, plan.verdict.road, plan.verdict.why, output if only_plan else "table")
        if only_plan or not (plan.difference or rebuild):
            return
        if not (plan.verdict.carries or rebuild or anyway):
            raise BadInput(
                f"{name}: state refused, nothing was stopped: {plan.verdict.why}",
                hint=f"olist apps upgrade {name} --rebuild",
            )
        if not yes:
            click.confirm("upgrade?", abort=True, err=True)
        outcome = operations.upgrade(code, rebuild=rebuild)
    _conclude(name, outcome, f"olist apps upgrade {name} --rebuild")
    click.echo(
        f"{name}: version {_deployed(operations.deployment).current} is healthy; its state: {_fate(rebuild, plan)}"
    )


def _fate(rebuild: bool, plan: Any) -> str:
    return "built anew" if rebuild else plan.verdict.road


def _show_plan(name: str, difference: str, road: str, why: str, output: str) -> None:
    if output == "json":
        click.echo(msgspec.json.encode({"name": name, "difference": difference, "road": road, "why": why}))
        return
    for line in difference.splitlines():
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.secho(line, fg=colour)
    click.echo(f"{name}: {road}: {why}" if difference else f"{name}: nothing differs")


@command.command("rollback")
@name_argument
@yes_option
@within_option
def rollback(name: str, yes: bool, within_s: float) -> None:
    """Back to the version before the last upgrade, from where it stood then.

    Its savepoint holds how far it had read, so it reads again what came since, and writes each of those rows once more
    in its own form: outputs are keyed, so they replace the newer version's. A key that only the newer version wrote
    stays. After a rebuild, the rows that were exchanged come back first.
    """
    with _operations(name, within_s) as operations:
        record = operations.record()
        if record.previous is None or not yes:
            click.echo(f"would go from version {record.current} back to {record.previous or 'none: there is no other'}")
        if not yes:
            return
        outcome = operations.rollback()
    _conclude(name, outcome, f"olist apps logs {name}")
    click.echo(f"{name}: version {_deployed(operations.deployment).current} is healthy")


def _conclude(name: str, outcome: Outcome, way_out: str) -> None:
    """Raise unless the new version runs."""
    if outcome.end == "done":
        return
    told = {
        "untouched": "the old version never stopped",
        "put back": "the old version runs again from where it stopped",
        "broken": "and the old version could not be started either; the keeper goes on trying",
    }
    raise StackError(f"{name}: not done, {told[outcome.end]}: {outcome.problem}", hint=way_out)


@command.command("delete")
@name_argument
@yes_option
def delete(name: str, yes: bool) -> None:
    """Stop an app and remove its versions, its state and its groups. The topics that it wrote stay."""
    with _operations(name) as operations:
        for line in operations.doomed():
            click.echo(f"{'removing' if yes else 'would remove'} {line}")
        if yes:
            operations.delete()
    click.echo(f"{name}: deleted" if yes else "nothing was removed; --yes does it")


def _deployed(deployment: Deployment) -> Any:
    record = deployment.record()
    if record is None:
        raise BadInput(f"{deployment.name} is not deployed", hint=f"olist apps deploy {deployment.name}")
    return record


@contextmanager
def _operations(name: str, within_s: float = 180.0, app: App | None = None) -> Iterator[Operations]:
    """Alone with an app's deployment; afterwards the keeper lives when it is needed."""
    from stream_apps.deploy.engines import engine_named
    from stream_apps.deploy.operations import Operations
    from stream_apps.deploy.view import Telling

    current: Settings = settings()
    deployment = Deployment.of(current, name)
    kind = engine_of(app) if app is not None else _deployed(deployment).engine
    deployment.make()
    with Telling(Console(stderr=True)) as tell, deployment.alone(BUSY_S):
        yield Operations(current, deployment, engine_named(kind, current), within_s=within_s, tell=tell)
    keeping.begin(current)
