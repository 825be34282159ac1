"""`olist apps`: run, deploy and watch stream apps. Each command imports what it uses: a help text loads no library."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from olist.errors import BadInput
from olist.json_output import show_json
from stream_apps.cli.changes import COMMANDS
from stream_apps.cli.options import file_option, name_argument, operations_on, output_option, within_option

if TYPE_CHECKING:
    from olist.settings import Settings
    from stream_apps.app import App
    from stream_apps.deploy.store import Deployment

SIDE_BY_SIDE = 3
"""Apps that are deployed at once: a start is half waiting, half compiling."""


@click.group("apps")
def command() -> None:
    """Run, deploy and watch stream apps. One file of stream_apps/apps/ is one app.

    \b
    olist apps list                          every app: engine, reads, writes
    olist apps deploy order_documents        run it for good; returns when it is healthy
    olist apps status                        state, lag, freshness, checkpoints; exit code 1 when one is not healthy
    olist apps upgrade order_documents       the changed file takes over the state; goes back by itself if it cannot
    olist apps rollback order_documents      back to the version before
    """


@command.command("list")
@output_option
def list_command(output: str) -> None:
    """Every app there is: its engine, what it reads and writes, and whether it is deployed."""

    from olist.settings import settings
    from olist.terminal import show
    from stream_apps import catalogue
    from stream_apps.cli.view import apps_table
    from stream_apps.deploy.store import deployments

    there = deployments(settings())
    found = [_described(app, there.get(name)) for name, app in catalogue.apps().items()]
    if output == "json":
        show_json(found)
        return
    show(apps_table(found), prose=["reads", "writes"])


def _described(app: App, deployment: Deployment | None) -> dict[str, Any]:
    from stream_apps.app import FlinkApp
    from stream_apps.loader import engine_of

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
    from olist.settings import settings
    from stream_apps.catalogue import app_file
    from stream_apps.deploy.deployed_app import DeployedApp
    from stream_apps.deploy.foreground import foreground, run_here
    from stream_apps.deploy.store import Deployment
    from stream_apps.loader import engine_of, load_app

    current = settings()
    record = Deployment.of(current, name).record()
    if record is not None and record.wanted == "running":
        raise BadInput(f"{name} is deployed, and two must not write its topics", hint=f"olist apps stop {name}")
    code = path or app_file(name)
    app = load_app(code)
    run_here(DeployedApp.of(current, foreground(current, app.name), engine_of(app)), code, click.echo)


@command.command("deploy")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Every app of stream_apps/apps/, a few side by side.")
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
    from stream_apps.catalogue import app_file, apps
    from stream_apps.loader import engine_of, load_app

    if (name is None) != everything:
        raise click.UsageError("name one app, or say --all")
    wanted = [one for one, app in apps().items() if engine in (None, engine_of(app))]
    paths = [app_file(one) for one in wanted] if everything else [path or app_file(str(name))]
    if target == "k8s":
        _print_manifests(paths, parallelism, dry_run=dry_run)
        return
    loaded = {one: load_app(one) for one in paths}
    if dry_run:
        for one, app in loaded.items():
            click.echo(f"would deploy {app.name} ({engine_of(app)}, parallelism {parallelism}) from {one}")
        return
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for done in [pool.submit(_deploy, one, app, parallelism, within_s) for one, app in loaded.items()]:
            done.result()


def _deploy(path: Path, app: App, parallelism: int, within_s: float) -> None:
    with operations_on(app.name, within_s, app) as operations:
        record = operations.deploy(path, parallelism)
    click.echo(f"{app.name}: version {record.current} is healthy")


def _print_manifests(paths: Sequence[Path], parallelism: int, *, dry_run: bool) -> None:
    from olist.settings import settings
    from stream_apps.deploy.kubernetes import manifests, plan_for
    from stream_apps.loader import load_app

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

    from olist.settings import settings
    from olist.terminal import console, show
    from stream_apps.cli.view import status_report
    from stream_apps.deploy import stack_hooks
    from stream_apps.deploy.status import statuses

    current = settings()
    stack_hooks.begin(current)
    found = statuses(current, _named(current, names))
    if output == "json":
        show_json(found)
    else:
        shown = console()
        if not found:
            shown.print("nothing is deployed; `olist apps deploy NAME`", soft_wrap=True)
        else:
            table, problems = status_report(found, time.time())
            show(table, to=shown)
            for problem in problems:
                shown.print(problem, soft_wrap=True)
    sys.exit(0 if all(one.is_as_wanted for one in found) else 1)


def _named(current: Settings, names: Sequence[str]) -> list[Deployment]:
    """Of those names; of all apps where none is named.

    Raises:
        BadInput: there is no such one.
    """
    from stream_apps.deploy.store import deployments

    there = deployments(current)
    if unknown := set(names) - set(there):
        raise BadInput(f"not deployed: {', '.join(sorted(unknown))}", hint=f"deployed: {', '.join(there) or 'none'}")
    return [there[name] for name in (names or there)]


@command.command("wait")
@click.argument("names", nargs=-1)
@click.option("--within", "within_s", default=300.0, show_default=True, help="Seconds to wait at most.")
def wait(names: tuple[str, ...], within_s: float) -> None:
    """Return when the apps that run have nothing left to read; for scripts that load data once."""
    from olist.settings import settings
    from olist.terminal import console
    from stream_apps.cli.view import ProgressView
    from stream_apps.deploy import stack_hooks
    from stream_apps.deploy.readiness import until_idle
    from stream_apps.deploy.status import statuses

    current = settings()
    stack_hooks.begin(current)
    there = _named(current, names)
    with ProgressView(console(stderr=True)) as progress:
        for left in until_idle(lambda: statuses(current, there), within_s):
            progress("", behind=left)


@command.command("logs")
@name_argument
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, help="Last lines of each log.")
def logs(name: str, following: bool, lines: int) -> None:
    """An app's log: its workers', or that of the Flink cluster which runs it, and the supervisor's word on it."""
    from olist.printable import LINES, printable
    from olist.settings import settings
    from olist.stack.home import Home
    from olist.stack.processes import follow, recent
    from stream_apps.deploy import stack_hooks
    from stream_apps.deploy.engines import engine_named
    from stream_apps.deploy.store import Deployment

    current = settings()
    deployment = Deployment.of(current, name)
    record = deployment.deployed_record()
    engine = engine_named(record.engine, current)
    paths = {path.stem: path for path in engine.logs(deployment.version(record, record.current))}
    paths[stack_hooks.LOG] = Home(current.home.resolve()).log(stack_hooks.LOG)
    for source, line in chain(recent(paths, lines), follow(paths) if following else ()):
        if source != stack_hooks.LOG or name in line:
            click.echo(f"{click.style(source, fg='cyan')} {printable(line, LINES)}")


for changing in COMMANDS:
    command.add_command(changing)
