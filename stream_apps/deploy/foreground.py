"""Run an app here until told to stop. It leaves nothing but its rows; what a killed run leaves, the next start ends.

While it runs it lies beside the deployments, as one of its own that has no record: a lock that its process holds, and
the version's folder with its state.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from signal import SIG_IGN, SIGHUP, getsignal

from olist.errors import StackError
from olist.settings import Settings
from olist.stop_signals import ASKED_TO_END, set_on_signal
from stream_apps.app_topics import FOREGROUND, contracts_of
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.store import DRAFT, Deployment, apps_folder, make
from stream_apps.engine import Observation, Version
from stream_apps.loader import engine_of, load_app
from stream_apps.records import VersionState

OBSERVE_EVERY_S = 1.0


def foreground(settings: Settings, name: str) -> Deployment:
    """The deployment of an app that runs in the foreground."""
    return Deployment(apps_folder(settings) / ".foreground" / name)


def foreground_version(deployment: Deployment) -> Version:
    """Its only version."""
    return deployment.new_version(DRAFT, FOREGROUND, parallelism=1)


def begin(app: DeployedApp) -> None:
    """Write down that from now on something may run: without that, there is nothing to end."""
    app.deployment.save_state(DRAFT, VersionState(started=app.clock.now()))


def end_leftover(app: DeployedApp) -> None:
    """End what runs of an app in the foreground's name without the command that began it, and forget its state.

    Raises:
        Busy: that command lives.
        ServerTrouble: Kafka or the engine is away.
    """
    deployment = foreground(app.settings, app.name)
    if not deployment.path.exists():
        return
    with deployment.alone():
        if deployment.state_of(DRAFT).started:
            left = load_app(foreground_version(deployment).code)
            end_foreground(replace(app, deployment=deployment, kind=engine_of(left)))


def end_foreground(app: DeployedApp) -> None:
    """End it and leave nothing of it but its rows. Call it alone with it; while it fails, all stays to be ended."""
    version = foreground_version(app.deployment)
    app.engine.discard(version.having(app.engine.cancel(version)))
    app.engine.forget(version)
    shutil.rmtree(app.deployment.path)


def run_here(app: DeployedApp, code: Path, say: Callable[[str], None]) -> None:
    """Run the file's app from the beginning of its topics, saying what it does, until it is told to end.

    `app` is the foreground's (`foreground`). SIGINT, SIGTERM and the terminal's end (SIGHUP) tell it.

    Raises:
        StackError: it ended by itself, with its exception or its log's last lines.
        Busy: another process runs it in the foreground.
    """
    stopping = _set_when_told_to_end()
    end_leftover(app)
    app.kafka.ensure_topics(contracts_of(load_app(code)))
    app.deployment.make()
    with app.deployment.alone():
        _run(app, code, stopping, say)


def _set_when_told_to_end() -> threading.Event:
    stopping = threading.Event()
    outlives_terminal = getsignal(SIGHUP) is SIG_IGN  # nohup
    set_on_signal(stopping, ASKED_TO_END if outlives_terminal else (*ASKED_TO_END, SIGHUP))
    return stopping


def _run(app: DeployedApp, code: Path, stopping: threading.Event, say: Callable[[str], None]) -> None:
    version = foreground_version(app.deployment).having(VersionState())
    make(app.engine, version, code, app.clock.now())
    app.engine.cancel(version)
    app.engine.forget(version)  # what it had read and kept, if its home was removed while it ran
    say(f"{app.name}: starting; its logs: {', '.join(map(str, app.engine.logs(version)))}")
    begin(app)
    try:
        _observe_until(app, app.save(version, app.engine.start(version)), stopping, say)
    finally:
        end_foreground(app)


def _observe_until(app: DeployedApp, version: Version, stopping: threading.Event, say: Callable[[str], None]) -> None:
    before: Observation | None = None
    while not stopping.wait(OBSERVE_EVERY_S):
        observed = app.engine.observe(version)
        if observed.phase in ("absent", "failed"):
            raise StackError(f"{app.name} ended: {observed.error}")
        if before is None or (observed.phase, observed.error) != (before.phase, before.error):
            say(f"{app.name}: {observed.phase}{f': {observed.error}' if observed.phase == 'failing' else ''}")
        before = observed
