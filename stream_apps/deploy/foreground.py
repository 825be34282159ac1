"""Run an app here until told to stop. It leaves nothing but its rows; what a killed run leaves, the next start ends.

While it runs it lies beside the deployments, as one of its own that has no record: a lock that its process holds, and
the version's folder with its state.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIG_IGN, SIGHUP, getsignal

from olist.errors import StackError
from olist.settings import Settings
from olist.stop_signals import ASKED_TO_END, set_on_signal
from stream_apps.app_topics import FOREGROUND, ensure_all_topics
from stream_apps.deploy.engines import engine_named
from stream_apps.deploy.store import DRAFT, Deployment, apps_folder, make, placed
from stream_apps.engine import Engine, Observation, Place
from stream_apps.loader import engine_of, load_app
from stream_apps.records import Standing


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


LOOK_EVERY_S = 1.0


def run_here(settings: Settings, code: Path, say: Callable[[str], None]) -> None:
    """Run the file's app from the beginning of its topics, telling what it does, until it is told to end.

    SIGINT, SIGTERM and the terminal's end (SIGHUP) tell it.

    Raises:
        StackError: it ended by itself, with its exception or its log's last lines.
        Busy: another process runs it in the foreground.
    """
    app = load_app(code)
    engine = engine_named(engine_of(app), settings)
    told = _told_to_end()
    end_leftover(settings, app.name)
    ensure_all_topics(settings, app)
    deployment = foreground(settings, app.name)
    deployment.make()
    with deployment.alone():
        _run(engine, deployment, code, told, say)


def _told_to_end() -> threading.Event:
    told = threading.Event()
    outlives_terminal = getsignal(SIGHUP) is SIG_IGN  # nohup
    set_on_signal(told, ASKED_TO_END if outlives_terminal else (*ASKED_TO_END, SIGHUP))
    return told


def _run(engine: Engine, deployment: Deployment, code: Path, told: threading.Event, say: Callable[[str], None]) -> None:
    place = foreground_place(deployment)
    make(engine, place, code, time.time())
    engine.cancel(place, Standing())
    engine.forget(place)  # what it had read and kept, if its home was removed while it ran
    say(f"{place.name}: starting; its logs: {', '.join(map(str, engine.logs(place)))}")
    begin(deployment)
    try:
        deployment.stand(place.number, engine.start(place, Standing(), resume=""))
        _tell_until(engine, place, deployment.standing(place.number), told, say)
    finally:
        end_foreground(engine, deployment)


def _tell_until(
    engine: Engine, place: Place, standing: Standing, told: threading.Event, say: Callable[[str], None]
) -> None:
    before: Observation | None = None
    while not told.wait(LOOK_EVERY_S):
        sight = engine.observe(place, standing)
        if sight.phase in ("absent", "failed"):
            raise StackError(f"{place.name} ended: {sight.error}")
        if before is None or (sight.phase, sight.error) != (before.phase, before.error):
            say(f"{place.name}: {sight.phase}{f': {sight.error}' if sight.phase == 'failing' else ''}")
        before = sight
