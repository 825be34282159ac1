"""What commands do to one app, over an engine and a Kafka that are plain sets; no server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from olist.errors import StackError
from olist.settings import Settings
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.lag import Lag
from stream_apps.deploy.operations import Operations
from stream_apps.deploy.readiness import Unhealthy
from stream_apps.deploy.store import Deployment, deployments
from stream_apps.engine import Observation, Verdict, Version
from stream_apps.records import Record, VersionState
from stream_apps.savepoints import completed_at, savepoints
from tests.clocks import StoppedClock

APP = """
from olist.contracts import Contract, Row, Str
from olist.tables import ORDERS
from stream_apps.app import FlinkApp

class Seen(Row):
    order_id: Str

APP = FlinkApp("a", (ORDERS,), Contract("seen", Seen, ("order_id",)), "select order_id from orders")
"""


class Killed(BaseException):
    """No process catches it."""


class Cluster:
    """Takes savepoints, each a second younger than the last, and loses nothing.

    Refuses to start what is in `bad`; what is in `slow` never settles.
    """

    def __init__(self) -> None:
        self.running, self.bad, self.slow, self.taken = set[int](), set[int](), set[int](), 0

    def render(self, app: Any, version: Version) -> None: ...

    def link(self, old: Version, new: Version) -> None: ...

    def start(self, version: Version) -> VersionState:
        if version.number in self.bad:
            raise StackError("it was refused")
        self.running.add(version.number)
        state = version.state
        return replace(state, jobs=(*state.jobs, f"job{version.number}"), restored=self.resume_from(version))

    def savepoint(self, version: Version) -> VersionState:
        self.taken += 1
        folder = savepoints(version.states) / f"savepoint-{self.taken}"
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", (self.taken, self.taken))
        return replace(version.state, savepoint=folder.as_uri())

    def stop(self, version: Version) -> VersionState:
        if version.number not in self.running:
            return version.state
        self.running.discard(version.number)
        return self.savepoint(version)

    def cancel(self, version: Version) -> VersionState:
        self.running.discard(version.number)
        return replace(version.state, savepoint=self.resume_from(version))

    def observe(self, version: Version) -> Observation:
        runs = version.number in self.running
        return Observation(phase="running" if runs else "absent", settled=runs and version.number not in self.slow)

    def resume_from(self, version: Version) -> str:
        return version.state.savepoint or version.state.restored

    def check_restorable(self, version: Version) -> None:
        assert completed_at(self.resume_from(version)) > 0

    def carries(self, old: Version, new: Version) -> Verdict:
        return Verdict("restored", "")

    def group(self, version: Version) -> str:
        return f"generation {version.generation}"

    def topics(self, version: Version) -> list[str]:
        return []

    def owned(self, version: Version) -> list[str]:
        return [f"consumer group of generation {version.generation}"]

    def forget(self, version: Version) -> None: ...

    def discard(self, version: Version) -> None:
        shutil.rmtree(version.state.savepoint.removeprefix("file://"), ignore_errors=True)


class Topics:
    """Kafka's, as far as they are staged; `asked` is what it was asked to do with them."""

    def __init__(self) -> None:
        self.there, self.asked = set[str](), list[str]()

    def ensure_topics(self, contracts: Iterable[Any]) -> None:
        staged = {topic for contract in contracts if (topic := contract.topic("p")).endswith(".g2")}
        self.asked += [f"make {topic}" for topic in sorted(staged - self.there)]
        self.there |= staged

    def delete_topics(self, topics: Iterable[str]) -> None:
        gone = self.there.intersection(topics)
        self.asked += [f"delete {topic}" for topic in sorted(gone)]
        self.there -= gone

    def topic_names(self) -> list[str]:
        return sorted(self.there)

    def exchange(self, *_: Any) -> int:
        return 0

    def put_back(self, *_: Any, **__: Any) -> int:
        return 0

    def lag(self, *_: Any) -> Lag:
        return Lag(0, 0.0)


class World:
    """One app's operations, over a cluster and topics that outlive each of them."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, topic_prefix="p")
        self.cluster, self.topics, self.clock = Cluster(), Topics(), StoppedClock()
        self.deployment = Deployment.of(self.settings, "a")
        self.deployment.make()
        self.code = home / "a.py"
        self.code.write_text(APP)

    @property
    def operations(self) -> Operations:
        kafka: Any = self.topics
        cluster: Any = self.cluster
        app = DeployedApp(self.settings, self.deployment, "flink", kafka, self.clock.clock, lambda *_: cluster)
        return Operations(app, within_s=60.0, progress=lambda *_, **__: None)

    def record(self) -> Record:
        record = self.deployment.record()
        assert record is not None
        return record

    def upgrade(self, *, rebuild: bool = False) -> str:
        self.code.write_text(self.code.read_text() + "# more\n")
        return self.operations.upgrade(self.code, rebuild=rebuild).end

    def there(self) -> list[int]:
        """Which savepoints are left."""
        return sorted(int(path.name.split("-")[1]) for path in savepoints(self.deployment.states).glob("*"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.operations.deploy(made.code, 1)
    return made


def test_an_app_that_was_wanted_is_left_to_the_supervisor_when_it_is_slow_to_start_again(world: World) -> None:
    world.cluster.slow = {1}
    with pytest.raises(Unhealthy, match="version 1: running after 60 s") as slow:
        world.operations.restart(2)
    assert "supervisor" in slow.value.hint
    record = world.record()
    assert (record.wanted, record.parallelism, record.error) == ("running", 2, f"{slow.value}")
    assert world.cluster.running == {1}


def test_an_app_that_was_stopped_is_stopped_again_when_it_does_not_become_healthy(world: World) -> None:
    world.operations.stop(drain=False)
    world.cluster.slow = {1}
    with pytest.raises(Unhealthy, match="version 1: running after 60 s"):
        world.operations.restart()
    assert (world.record().wanted, world.cluster.running) == ("stopped", set())


def test_a_savepoint_makes_room_for_the_next_but_not_one_that_is_gone_on_from(world: World) -> None:
    for _ in range(3):
        world.operations.savepoint()
    assert world.there() == [3]
    world.operations.restart()
    assert world.there() == [4]
    world.operations.restart()
    assert world.there() == [4, 5], "it had begun from the former"
    assert world.upgrade() == "done"
    world.operations.savepoint()
    world.operations.savepoint()
    assert world.there() == [5, 6, 8], "the previous version goes on from its own"
    assert world.operations.rollback().end == "done"
    assert world.cluster.running == {1}
    assert completed_at(world.deployment.state_of(1).restored) == 6


def test_a_version_that_failed_takes_no_savepoint_of_the_old_one_with_it(world: World) -> None:
    world.cluster.slow = {2}
    assert world.upgrade() == "put back"
    assert list(world.record().versions) == [1]
    assert completed_at(world.deployment.state_of(1).restored) == 1, "where the old version goes on from, should it die"


def test_nothing_is_removed_while_the_old_version_is_not_back(world: World) -> None:
    world.cluster.slow, world.cluster.bad = {2}, {1}
    assert world.upgrade() == "broken"
    assert list(world.record().versions) == [1, 2]
    assert completed_at(world.deployment.state_of(1).savepoint) == 1


def test_a_rebuild_begins_with_empty_topics_and_leaves_none(world: World) -> None:
    world.topics.there = {"p.seen.g2"}  # of a rebuild before the app was last deleted
    assert world.upgrade(rebuild=True) == "done"
    assert world.topics.asked == ["delete p.seen.g2", "make p.seen.g2", "delete p.seen.g2"]


def test_a_deletion_takes_along_what_an_unfinished_rebuild_staged(world: World) -> None:
    assert world.upgrade(rebuild=True) == "done"
    world.topics.there = {"p.seen", "p.seen.g2"}
    told = world.operations.planned_removals()
    assert "topic p.seen.g2" in told
    assert "topic p.seen" not in told
    world.operations.delete()
    assert world.topics.there == {"p.seen"}
    assert not world.deployment.path.exists()


def test_what_a_killed_deletion_leaves_is_no_app_and_the_next_deployment_sweeps_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.upgrade() == "done"
    rmtree, folders = shutil.rmtree, [world.deployment.folder(2)]

    def dies(path: Path, **how: Any) -> None:
        if Path(path) in folders:
            raise Killed
        rmtree(path, **how)

    monkeypatch.setattr(shutil, "rmtree", dies)
    with pytest.raises(Killed):
        world.operations.delete()
    folders.clear()
    assert deployments(world.settings) == {}
    (world.deployment.path / "lock").touch()
    world.operations.deploy(world.code, 1)
    left = {path.name for path in world.deployment.path.iterdir()}
    assert left == {"lock", "record.json", "1"}, "nothing of the app before"


def test_looking_changes_nothing_while_an_upgrade_is_unfinished(world: World) -> None:
    world.cluster.slow, world.cluster.bad = {2}, {1}
    assert world.upgrade() == "broken"
    world.cluster.running.add(2)
    before = replace(world.record(), trying=2)
    world.deployment.write(before)
    files = sorted(world.deployment.path.rglob("*"))
    assert world.operations.planned_removals()
    assert world.operations.app.record() == before
    with world.operations.planned(world.code) as plan:
        assert plan.difference
    assert (world.record(), world.cluster.running, sorted(world.deployment.path.rglob("*"))) == (before, {2}, files)
    world.cluster.bad.clear()
    assert world.operations.recovered().trying is None
    assert world.cluster.running == set()


def test_an_upgrade_goes_to_the_file_as_it_was_shown(world: World) -> None:
    world.code.write_text(shown := world.code.read_text() + "# shown\n")
    with world.operations.planned(world.code) as plan:
        world.code.write_text(shown + "# changed while somebody thought about it\n")
        assert world.operations.upgrade(plan.code, rebuild=False).end == "done"
    assert world.deployment.code(2).read_text() == shown


def test_an_app_whose_files_are_gone_can_be_deleted(world: World) -> None:
    shutil.rmtree(world.deployment.folder(1))
    assert world.operations.planned_removals() == [str(world.deployment.path)]
    world.operations.delete()
    assert not world.deployment.path.exists()
