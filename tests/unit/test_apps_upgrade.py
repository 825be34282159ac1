"""A walk from one version to another, killed at every write: whoever finds it puts the app back, with its own rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from olist.errors import ServerTrouble
from olist.settings import Settings
from stream_apps.deploy import upgrade
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.lag import Lag
from stream_apps.deploy.reconcile import reconcile
from stream_apps.deploy.store import Deployment
from stream_apps.deploy.topic_swap import kept_rows
from stream_apps.deploy.upgrade import Outcome, Upgrade
from stream_apps.deploy.upgrade_steps import BESIDE, RETURN, TAKE_OVER, End, Step, Table
from stream_apps.engine import Observation, Version
from stream_apps.records import Record, VersionRecord, VersionState
from tests.clocks import StoppedClock

SETTINGS = Settings()
ROADS: dict[str, tuple[Table, Step]] = {
    "take over": (TAKE_OVER, "save old"),
    "beside": (BESIDE, "start beside"),
    "return": (RETURN, "save old"),
}
FAILING = (
    (),
    ("save old",),
    ("save both",),
    ("start new",),
    ("watch new",),
    ("exchange rows",),
    ("return rows",),
    ("catch up",),
    ("catch up", "cancel beside"),
    ("watch new", "cancel new"),
    ("watch new", "put rows back"),
    ("watch new", "start old"),
    ("watch new", "watch old"),
)
WALKS = [(road, failing) for road, (table, _) in ROADS.items() for failing in FAILING if {*failing} <= {*table}]


class Killed(BaseException):
    """No process catches it."""


class World:
    """What outlives a process: what runs, which version's rows the topic holds, how long the process has to live."""

    def __init__(self, path: Path, old: int, new: int, generations: dict[int, int], wanted: str) -> None:
        self.writers, self.beside = ({old} if wanted == "running" else set[int]()), set[int]()
        self.rows = f"{old}"
        self.step, self.failing, self.lives, self.writes = "", frozenset[str](), 0, 0
        self.deployment = Watched(path / "a", self)
        versions = {n: VersionRecord(number=n, generation=g, digest="d", made=0.0) for n, g in generations.items()}
        record = Record(name="a", engine="flink", wanted=wanted, current=old, versions=versions, proven=True)  # type: ignore[arg-type]
        self.deployment.write(replace(record, previous=new if new < old else None))
        for number in generations:
            self.deployment.save_state(number, VersionState())
        if new < old:
            kept_rows(self.version(new)).write_text(f"{new}")
        self.new, self.writes = new, 0
        kafka: Any = Rows(self)
        cluster: Any = Cluster(self)
        self.clock = StoppedClock()
        self.app = DeployedApp(SETTINGS, self.deployment, "flink", kafka, self.clock.clock, lambda *_: cluster)

    def record(self) -> Record:
        record = self.deployment.record()
        assert record is not None
        return record

    def version(self, number: int) -> Version:
        return self.deployment.version(self.record(), number)

    def written(self) -> None:
        """Something is written now; the process may not live to do more."""
        self.writes += 1
        if self.writes == self.lives:
            raise Killed

    def may_fail(self) -> None:
        if self.step in self.failing:
            raise ServerTrouble("a server", "it is away")

    def write_rows(self, rows: str) -> None:
        assert not self.writers, "rows change hands only while nobody writes them"
        self.rows = "a mixture"
        self.written()
        self.may_fail()
        self.rows = rows

    def walk(self, road: str) -> Outcome:
        upgrade = Upgrade(self.app, new=self.new, inherits=road == "take over", within_s=1.0, progress=self.progress)
        return upgrade.run(*ROADS[road])

    def progress(self, line: str, *, behind: int | None = None) -> None:
        self.step = line.removeprefix("a: ") or self.step

    def keep(self) -> None:
        """What the supervisor makes of it, while every server is there."""
        self.step, self.lives = "", 0
        for _ in range(5):
            self.clock.pause(100.0)
            if reconcile(self.app) == "leave":
                return
        raise AssertionError("the supervisor comes to no end")


class Watched(Deployment):
    """A kill may come before and after each of its writes."""

    def __init__(self, path: Path, world: World) -> None:
        super().__init__(path)
        object.__setattr__(self, "world", world)

    def write(self, record: Record) -> None:
        self.world.written()  # type: ignore[attr-defined]
        super().write(record)
        self.world.written()  # type: ignore[attr-defined]

    def save_state(self, number: int, state: VersionState) -> None:
        super().save_state(number, state)
        self.world.written()  # type: ignore[attr-defined]


class Cluster:
    """Versions of one generation share a name, as Flink's jobs do: to cancel one is to end whatever has that name."""

    def __init__(self, world: World) -> None:
        self.world = world

    def start(self, version: Version) -> VersionState:
        (self.world.beside if version.state.staged else self.world.writers).add(version.number)
        assert len(self.world.writers) <= 1, "at most one version writes the topic"
        self.world.written()
        self.world.may_fail()
        return replace(version.state, started=1.0)

    def stop(self, version: Version) -> VersionState:
        self.world.may_fail()
        return self.cancel(version)

    def cancel(self, version: Version) -> VersionState:
        self.world.may_fail()
        versions = self.world.record().versions
        same = {number for number, other in versions.items() if other.generation == version.generation}
        self.world.writers -= same
        self.world.beside -= same
        self.world.written()
        return version.state

    def observe(self, version: Version) -> Observation:
        if self.world.step.startswith("watch"):
            self.world.may_fail()
        runs = version.number in self.world.writers | self.world.beside
        return Observation(phase="running" if runs else "absent", settled=runs)

    def group(self, version: Version) -> str:
        return f"{version.number}"

    def topics(self, _version: Version) -> list[str]:
        return []


class Rows:
    """The topic, as far as rows are put on it by somebody else than a version."""

    def __init__(self, world: World) -> None:
        self.world = world

    def exchange(self, _outputs: Any, _generation: str, keep: Path) -> int:
        keep.write_text(self.world.rows)
        self.world.written()
        self.world.write_rows(f"{self.world.new}")
        return 1

    def put_back(self, used: Path, keep: Path | None = None) -> int:
        if not used.exists():
            return 0
        if keep is not None:
            keep.write_text(self.world.rows)
            self.world.written()
        self.world.write_rows(used.read_text())
        self.world.written()
        return 1

    def lag(self, _group: str, _topics: Any) -> Lag:
        self.world.may_fail()
        return Lag(1, 0.0)


@pytest.fixture
def worlds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Makes one after another."""
    numbers = count()

    def make(road: str, failing: tuple[str, ...], wanted: str = "running") -> World:
        old, new = (2, 1) if road == "return" else (1, 2)
        generations = {1: 1, 2: 1 if road == "take over" else 2}
        world = World(tmp_path / f"{next(numbers)}", old, new, generations, wanted)
        world.failing = frozenset(failing)
        return world

    monkeypatch.setattr(upgrade, "load_app", lambda _: SimpleNamespace(outputs=()))
    return make


def is_whole(world: World, wanted: str) -> None:
    """One version, the current one, runs if one is wanted; the topic has its rows, and those it replaced are kept."""
    record = world.record()
    done = record.current == world.new
    assert record.trying is None
    assert record.wanted == ("running" if done else wanted)
    assert world.writers == ({record.current} if record.wanted == "running" else set())
    assert not world.beside
    if record.versions[1].generation != record.versions[2].generation:
        assert world.rows == f"{record.current}"
        assert record.current == 1 or kept_rows(world.version(1)).exists(), "the way back is open"


@pytest.mark.parametrize("wanted", ["running", "stopped"])
@pytest.mark.parametrize(
    ("road", "failing"), WALKS, ids=lambda given: given if isinstance(given, str) else "+".join(given)
)
def test_a_walk_that_is_killed_at_any_write_leaves_one_version_with_its_own_rows(
    worlds: Callable[..., World], road: str, failing: tuple[str, ...], wanted: str
) -> None:
    for lives in count(1):
        world = worlds(road, failing, wanted)
        world.lives = lives
        try:
            world.walk(road)
        except Killed:
            world.keep()
            is_whole(world, wanted)
        else:
            break
    world.keep()
    is_whole(world, wanted)
    assert not kept_rows(world.version(world.record().current)).exists(), "a way back is gone once"


@pytest.mark.parametrize(
    ("road", "failing", "wanted", "end"),
    [
        ("take over", (), "running", "done"),
        ("beside", (), "stopped", "done"),
        ("return", (), "running", "done"),
        ("take over", ("save old",), "running", "untouched"),
        ("take over", ("save old",), "stopped", "left stopped"),
        ("beside", ("catch up",), "running", "untouched"),
        ("beside", ("catch up",), "stopped", "left stopped"),
        ("beside", ("catch up", "cancel beside"), "running", "broken"),
        ("beside", ("watch new",), "running", "put back"),
        ("return", ("watch new",), "stopped", "left stopped"),
        ("return", ("watch new", "put rows back"), "running", "broken"),
        ("take over", ("watch new", "watch old"), "running", "broken"),
    ],
)
def test_a_walk_ends_as_the_app_was_wanted(
    worlds: Callable[..., World], road: str, failing: tuple[str, ...], wanted: str, end: End
) -> None:
    world = worlds(road, failing, wanted)
    assert world.walk(road).end == end
    assert all(step in world.record().error for step in failing)
    world.keep()
    is_whole(world, wanted)


def test_an_old_version_that_is_slow_to_come_back_is_not_ended_once_more(worlds: Callable[..., World]) -> None:
    world = worlds("take over", ("watch new", "watch old"))
    assert world.walk("take over").end == "broken"
    assert world.writers == {1}
    world.keep()
    assert (world.writers, world.record().restarts) == ({1}, 0)
