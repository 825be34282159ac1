"""What `olist apps run` keeps of an app while it runs, so that what a killed one left behind can be ended.

It lies beside the deployments, as one of its own that has no record: a lock that its process holds, and the version's
folder with its standing.
"""

from __future__ import annotations

import shutil
import time

from olist.settings import Settings
from stream_apps.deploy.engine import Engine, Place
from stream_apps.deploy.engines import engine_named
from stream_apps.deploy.folder import Deployment, apps_folder
from stream_apps.deploy.loading import engine_of, load_app
from stream_apps.deploy.record import Standing
from stream_apps.deploy.staging import FOREGROUND
from stream_apps.deploy.versions import DRAFT, placed


def foreground(settings: Settings, name: str) -> Deployment:
    """Of the app that runs in the foreground."""
    return Deployment(apps_folder(settings) / ".foreground" / name)


def foreground_place(deployment: Deployment) -> Place:
    """Its only version."""
    return placed(deployment, DRAFT, FOREGROUND, parallelism=1)


def begin(deployment: Deployment) -> None:
    """Write down that from now on something may run: without that, there is nothing to end."""
    deployment.stand(DRAFT, Standing(started=time.time()))


def end_leftover(settings: Settings, name: str) -> None:
    """End what runs of an app in the foreground's name without the command that began it, and forget its state.

    Raises:
        Busy: that command lives.
        ServerTrouble: Kafka or the engine is away.
    """
    deployment = foreground(settings, name)
    if not deployment.path.exists():
        return
    with deployment.alone():
        if deployment.standing(DRAFT).started:
            app = load_app(foreground_place(deployment).code)
            end_foreground(engine_named(engine_of(app), settings), deployment)


def end_foreground(engine: Engine, deployment: Deployment) -> None:
    """End it and leave nothing of it but its rows. Call it alone with it; while it fails, all stays to be ended."""
    where = foreground_place(deployment)
    engine.discard(where, engine.cancel(where, deployment.standing(where.number)))
    engine.forget(where)
    shutil.rmtree(deployment.path)
