"""Run an app here until told to stop. It leaves nothing but its rows; what a killed run leaves, the next start ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIG_IGN, SIGHUP, getsignal

from olist.errors import StackError
from olist.settings import Settings
from olist.stop_signals import ASKED_TO_END, set_on_signal
from stream_apps.deploy.engine import Engine, Place, Sight
from stream_apps.deploy.engines import engine_named
from stream_apps.deploy.folder import Deployment
from stream_apps.deploy.leftover import begin, end_foreground, end_leftover, foreground, foreground_place
from stream_apps.deploy.loading import engine_of, load_app
from stream_apps.deploy.operations import ensure_all_topics
from stream_apps.deploy.record import Standing
from stream_apps.deploy.versions import make

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
    before: Sight | None = None
    while not told.wait(LOOK_EVERY_S):
        sight = engine.look(place, standing)
        if sight.phase in ("absent", "failed"):
            raise StackError(f"{place.name} ended: {sight.error}")
        if before is None or (sight.phase, sight.error) != (before.phase, before.error):
            say(f"{place.name}: {sight.phase}{f': {sight.error}' if sight.phase == 'failing' else ''}")
        before = sight
