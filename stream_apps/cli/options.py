"""What the commands of `olist apps` share: their options, and the way to be alone with one app."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from olist.errors import BadInput
from olist.settings import settings
from olist.terminal import console
from stream_apps.app import App
from stream_apps.cli.view import Telling
from stream_apps.deploy import keeping
from stream_apps.deploy.engines import engine_named
from stream_apps.deploy.operations import Operations
from stream_apps.deploy.store import Deployment
from stream_apps.loader import engine_of
from stream_apps.records import Record

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


def deployed(deployment: Deployment) -> Record:
    """An app's record.

    Raises:
        BadInput: it has none.
    """
    record = deployment.record()
    if record is None:
        raise BadInput(f"{deployment.name} is not deployed", hint=f"olist apps deploy {deployment.name}")
    return record


@contextmanager
def operations_on(name: str, within_s: float = 180.0, app: App | None = None) -> Iterator[Operations]:
    """Alone with an app's deployment; afterwards the keeper lives when it is needed."""
    current = settings()
    deployment = Deployment.of(current, name)
    kind = engine_of(app) if app is not None else deployed(deployment).engine
    deployment.make()
    with Telling(console(stderr=True)) as tell, deployment.alone(BUSY_S):
        yield Operations(current, deployment, engine_named(kind, current), within_s=within_s, tell=tell)
    keeping.begin(current)
