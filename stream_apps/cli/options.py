"""What the commands of `olist apps` share: their options, and the way to be alone with one app."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stream_apps.app import App
    from stream_apps.deploy.operations import Operations

BUSY_S = 90.0
"""How long a command waits for another, or for the supervisor, to leave an app alone."""

name_argument = click.argument("name")
output_option = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
yes_option = click.option("--yes", is_flag=True, help="Do it; without this it only says what it would do.")
file_option = click.option(
    "--file", "path", type=click.Path(path_type=Path, dir_okay=False), help="The app's file, when it is elsewhere."
)
within_option = click.option(
    "--within", "within_s", default=180.0, show_default=True, help="Seconds in which it must become healthy."
)


@contextmanager
def operations_on(name: str, within_s: float = 180.0, app: App | None = None) -> Iterator[Operations]:
    """Alone with an app's deployment; afterwards the supervisor lives when it is needed."""
    from olist.settings import settings
    from olist.terminal import console
    from stream_apps.cli.view import ProgressView
    from stream_apps.deploy import stack_hooks
    from stream_apps.deploy.deployed_app import DeployedApp
    from stream_apps.deploy.operations import Operations
    from stream_apps.deploy.store import Deployment
    from stream_apps.loader import engine_of

    current = settings()
    deployment = Deployment.of(current, name)
    kind = engine_of(app) if app is not None else deployment.deployed_record().engine
    deployment.make()
    with ProgressView(console(stderr=True)) as progress, deployment.alone(BUSY_S):
        yield Operations(DeployedApp.of(current, deployment, kind), within_s=within_s, progress=progress)
    stack_hooks.begin(current)
