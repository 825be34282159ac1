"""`olist apps run`, and workers that nobody wrote down, without a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from olist.errors import ServerTrouble
from olist.settings import Settings
from stream_apps.app_topics import FIRST_GENERATION, FOREGROUND
from stream_apps.deploy import foreground, stack_hooks
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.store import Busy, Deployment
from stream_apps.engine import Observation, Version
from stream_apps.faust import engine as faust_engine
from stream_apps.faust.engine import FaustEngine
from stream_apps.faust.worker_processes import workers_within
from stream_apps.records import VersionState, Worker
from tests.waiting import wait_until

NAME = "seen_orders"
CODE = """
from olist.contracts import Contract, Row, Str
from olist.tables import ORDERS
from stream_apps.app import FlinkApp

class Seen(Row):
    order_id: Str

APP = FlinkApp("seen_orders", (ORDERS,), Contract("seen", Seen, ("order_id",)), "select order_id from orders")
"""


class Remembering:
    """An engine that runs nothing and remembers what it was asked for."""

    def __init__(self, on_look: Callable[[], object] = lambda: None) -> None:
        self.asked: list[str] = []
        self.on_look, self.away = on_look, False

    def render(self, *_: Any, **__: Any) -> None:
        self.asked.append("render")

    def logs(self, _version: Version) -> list[Path]:
        return []

    def start(self, version: Version) -> VersionState:
        self.asked.append("start")
        return version.state

    def observe(self, *_: Any) -> Observation:
        self.on_look()
        return Observation(phase="running")

    def cancel(self, version: Version) -> VersionState:
        if self.away:
            raise ServerTrouble("flink", "away")
        self.asked.append("cancel")
        return version.state

    def discard(self, *_: Any) -> None:
        self.asked.append("discard")

    def forget(self, _version: Version) -> None:
        self.asked.append("forget")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remembering]:
    """Runs in the place of both engines; signals are handled as before when it leaves."""
    made = Remembering()
    monkeypatch.setattr(foreground, "OBSERVE_EVERY_S", 0.01)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else a test run under nohup would outlive its terminal
    yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)


def app(engine: Remembering, home: Path) -> DeployedApp:
    settings = Settings(home=home)
    without_kafka: Any = SimpleNamespace(ensure_topics=lambda _contracts: None)
    either: Any = engine
    return DeployedApp(
        settings, foreground.foreground(settings, NAME), "flink", without_kafka, engines=lambda *_: either
    )


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.py"
    path.write_text(CODE)
    return path


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_run_begins_from_nothing_and_ends_with_its_terminal(
    engine: Remembering, code: Path, tmp_path: Path, number: signal.Signals
) -> None:
    engine.on_look = lambda: os.kill(os.getpid(), number)
    foreground.run_here(app(engine, tmp_path), code, lambda _line: None)
    assert engine.asked == ["render", "cancel", "forget", "start", "cancel", "discard", "forget"]
    assert not foreground.foreground(Settings(home=tmp_path), NAME).path.exists()


def test_a_run_that_is_to_outlive_its_terminal_does(engine: Remembering, code: Path, tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    numbers = iter((signal.SIGHUP, signal.SIGHUP, signal.SIGTERM))
    looks: list[signal.Signals] = []

    def look() -> None:
        looks.append(next(numbers))
        os.kill(os.getpid(), looks[-1])

    engine.on_look = look
    foreground.run_here(app(engine, tmp_path), code, lambda _line: None)
    assert len(looks) == 3


def left_behind(app: DeployedApp, code: Path) -> Deployment:
    """What is there of a run that was killed."""
    version = foreground.foreground_version(app.deployment)
    version.folder.mkdir(parents=True)
    version.code.write_bytes(code.read_bytes())
    foreground.begin(app)
    return app.deployment


def test_what_a_killed_run_left_is_ended_and_forgotten_once(engine: Remembering, code: Path, tmp_path: Path) -> None:
    killed = app(engine, tmp_path)
    deployment = left_behind(killed, code)
    engine.away = True
    with pytest.raises(ServerTrouble):
        foreground.end_leftover(killed)
    engine.away = False
    foreground.end_leftover(killed)
    assert engine.asked == ["cancel", "discard", "forget"]
    assert not deployment.path.exists()
    foreground.end_leftover(killed)
    assert engine.asked == ["cancel", "discard", "forget"], "nothing is left"


def test_a_run_whose_command_lives_is_not_taken_for_a_leftover(engine: Remembering, code: Path, tmp_path: Path) -> None:
    living = app(engine, tmp_path)
    with left_behind(living, code).alone(), pytest.raises(Busy, match=f"pid {os.getpid()}"):
        foreground.end_leftover(living)
    assert engine.asked == []


def version(tmp_path: Path, number: int, generation: int = FIRST_GENERATION) -> Version:
    folder = tmp_path / "apps" / NAME / str(number)
    folder.mkdir(parents=True)
    return Version(NAME, folder, folder.parent / "state", number, generation, 2)


def worker(folder: Path) -> subprocess.Popen[bytes]:
    """A process that looks like a worker of a version."""
    argv = [sys.executable, "-c", "import signal; signal.pause()", "--status", str(folder / "worker-0.status")]
    process = subprocess.Popen(argv)
    wait_until(lambda: bool(workers_within(str(folder))), "the process's own command line")
    return process


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[signal.Signals | None]:
    """With which parent's death each worker ends. None is started."""
    found: list[signal.Signals | None] = []

    def spawn(_launch: object, _log: Path, on_parent_death: signal.Signals | None) -> Any:
        found.append(on_parent_death)
        return SimpleNamespace(pid=os.getpid())

    monkeypatch.setattr(faust_engine, "spawn", spawn)
    monkeypatch.setattr(faust_engine, "Broker", lambda _settings: SimpleNamespace(names=set))
    return found


@pytest.mark.parametrize("ended_by", ["start", "stop", "cancel", "the end of the servers"])
def test_a_worker_that_nobody_wrote_down_is_ended(
    tmp_path: Path, spawned: list[signal.Signals | None], ended_by: str
) -> None:
    settings = Settings(home=tmp_path)
    engine, mine, other = FaustEngine(settings), version(tmp_path, 1), version(tmp_path, 11)
    stray, neighbour = worker(mine.folder), worker(other.folder)
    try:
        if ended_by == "start":
            assert len(engine.start(mine).workers) == len(spawned) == mine.parallelism
        elif ended_by == "the end of the servers":
            stack_hooks.end_workers(settings)
        else:
            assert getattr(engine, ended_by)(mine) == VersionState()
        assert workers_within(f"{mine.folder}/") == []
        assert (neighbour.poll() is None) is (ended_by != "the end of the servers")
    finally:
        for process in (stray, neighbour):
            process.kill()
            process.wait(10)


def test_a_worker_that_is_written_down_goes_on_when_the_missing_one_is_started(
    tmp_path: Path, spawned: list[signal.Signals | None]
) -> None:
    mine = version(tmp_path, 1)
    process = worker(mine.folder)
    known = Worker(process.pid, psutil.Process(process.pid).create_time())
    try:
        state = FaustEngine(Settings(home=tmp_path)).start(mine.having(VersionState(workers=(known,))))
        assert (state.workers[0], len(spawned), process.poll()) == (known, 1, None)
    finally:
        process.kill()
        process.wait(10)


def test_a_worker_whose_start_is_written_down_wrongly_is_replaced_and_not_doubled(
    tmp_path: Path, spawned: list[signal.Signals | None]
) -> None:
    mine = version(tmp_path, 1)
    process = worker(mine.folder)
    before_the_clock_was_set = Worker(process.pid, psutil.Process(process.pid).create_time() - 60)
    try:
        state = VersionState(workers=(before_the_clock_was_set,))
        FaustEngine(Settings(home=tmp_path)).start(mine.having(state))
        assert (len(spawned), workers_within(f"{mine.folder}/")) == (2, [])
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize(("generation", "ends"), [(FOREGROUND, signal.SIGTERM), (FIRST_GENERATION, None)])
def test_only_workers_of_the_foreground_end_with_the_process_that_started_them(
    tmp_path: Path, spawned: list[signal.Signals | None], generation: int, ends: signal.Signals | None
) -> None:
    FaustEngine(Settings(home=tmp_path)).start(version(tmp_path, 1, generation))
    assert spawned == [ends, ends]
