"""Run an app here until told to stop: nothing is recorded, and nothing is left of it but its rows."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGTERM, signal

from olist.errors import StackError
from olist.settings import Settings
from stream_apps.deploy.engine import Engine, Place, Sight
from stream_apps.deploy.engines import engine_named
from stream_apps.deploy.loading import engine_of, load_app
from stream_apps.deploy.operations import ensure_all_topics
from stream_apps.deploy.record import Standing
from stream_apps.deploy.staging import FOREGROUND
from stream_apps.deploy.versions import make

LOOK_EVERY_S = 1.0


def run_here(settings: Settings, code: Path, say: Callable[[str], None]) -> None:
    """Run the file's app from the beginning of its topics, telling what it does, until SIGINT or SIGTERM.

    Raises:
        StackError: it ended by itself, with its exception or its log's last lines.
    """
    app = load_app(code)
    engine = engine_named(engine_of(app), settings)
    told = threading.Event()
    for number in (SIGTERM, SIGINT):
        signal(number, lambda *_: told.set())
    ensure_all_topics(settings, app)
    folder = Path(tempfile.mkdtemp(prefix=f"olist-{app.name}-"))
    place = Place(app.name, folder / "version", folder, 0, FOREGROUND, 1)
    standing = Standing()
    try:
        make(engine, place, code, time.time())
        say(f"{app.name}: starting; its logs: {', '.join(map(str, engine.logs(place)))}")
        standing = engine.start(place, standing, resume="")
        _tell_until(engine, place, standing, told, say)
    finally:
        engine.discard(place, engine.cancel(place, standing))
        engine.forget(place)
        shutil.rmtree(folder)


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
