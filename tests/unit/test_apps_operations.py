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
from stream_apps import app_topics
from stream_apps.deploy import cleanup, operations, upgrade
from stream_apps.deploy.operations import Operations
from stream_apps.deploy.readiness import Unhealthy
from stream_apps.deploy.store import Deployment, deployments
from stream_apps.engine import Observation, Place, Verdict
from stream_apps.records import Record, Standing
from stream_apps.savepoints import completed_at, savepoints

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
    """Takes savepoints, each a second younger than the last, and loses nothing. Refuses to start what is in `bad`."""

    def __init__(self) -> None:
        self.running, self.bad, self.taken = set[int](), set[int](), 0

    def render(self, app: Any, where: Place, *, after: Place | None) -> None: ...

    def start(self, where: Place, standing: Standing, *, resume: str) -> Standing:
        if where.number in self.bad:
            raise StackError("it was refused")
        self.running.add(where.number)
        return replace(standing, jobs=(*standing.jobs, f"job{where.number}"), restored=resume)

    def savepoint(self, where: Place, standing: Standing) -> Standing:
        self.taken += 1
        folder = savepoints(where.state) / f"savepoint-{self.taken}"
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()
        os.utime(folder / "_metadata", (self.taken, self.taken))
        return replace(standing, savepoint=folder.as_uri())

    def stop(self, where: Place, standing: Standing, *, drain: bool = False) -> Standing:
        if where.number not in self.running:
            return standing
        self.running.discard(where.number)
        return self.savepoint(where, standing)

    def cancel(self, where: Place, standing: Standing) -> Standing:
        self.running.discard(where.number)
        return replace(standing, savepoint=self.resume_from(where, standing))

    def observe(self, where: Place, standing: Standing) -> Observation:
        return Observation(phase="running" if where.number in self.running else "absent")

    def resume_from(self, where: Place, standing: Standing) -> str:
        return standing.savepoint or standing.restored

    def restorable(self, resume: str) -> bool:
        return completed_at(resume) > 0

    def carries(self, old: Place, new: Place) -> Verdict:
        return Verdict("restored", "")

    def owned(self, where: Place) -> list[str]:
        return [f"consumer group of generation {where.generation}"]

    def forget(self, where: Place) -> None: ...

    def discard(self, where: Place, standing: Standing) -> None:
        shutil.rmtree(standing.savepoint.removeprefix("file://"), ignore_errors=True)


class World:
    """One app's operations; `topics` are Kafka's, `asked` is what it was asked to do with those that are staged."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, topic_prefix="p")
        self.cluster, self.topics, self.asked = Cluster(), set[str](), list[str]()
        self.deployment = Deployment.of(self.settings, "a")
        self.deployment.make()
        self.code = home / "a.py"
        self.code.write_text(APP)
        self.slow = set[int]()

    @property
    def operations(self) -> Operations:
        engine: Any = self.cluster
        return Operations(self.settings, self.deployment, engine, within_s=1.0, tell=lambda *_, **__: None)

    def record(self) -> Record:
        record = self.deployment.record()
        assert record is not None
        return record

    def upgrade(self, *, rebuild: bool = False) -> str:
        self.code.write_text(self.code.read_text() + "# more\n")
        return self.operations.upgrade(self.code, rebuild=rebuild).end

    def there(self) -> list[int]:
        """Which savepoints are left."""
        return sorted(int(path.name.split("-")[1]) for path in savepoints(self.deployment.state).glob("*"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)

    def ensure(_settings: Settings, contracts: Iterable[Any]) -> None:
        staged = {topic for contract in contracts if (topic := contract.topic("p")).endswith(".g2")}
        made.asked += [f"make {topic}" for topic in sorted(staged - made.topics)]
        made.topics |= staged

    def delete(_settings: Settings, topics: Iterable[str]) -> None:
        gone = made.topics.intersection(topics)
        made.asked += [f"delete {topic}" for topic in sorted(gone)]
        made.topics -= gone

    class Broker:
        def __init__(self, _settings: Settings) -> None: ...

        def names(self) -> list[str]:
            return sorted(made.topics)

    def watched(_engine: Any, where: Place, *_: Any) -> None:
        if where.number in made.slow:
            raise Unhealthy("it is slow")

    monkeypatch.setattr(app_topics, "ensure_topics", ensure)
    monkeypatch.setattr(cleanup, "Broker", Broker)
    for module in (operations, cleanup):
        monkeypatch.setattr(module, "delete_topics", delete)
    for watching in (operations, upgrade):
        monkeypatch.setattr(watching, "until_healthy", watched)
    monkeypatch.setattr(upgrade, "until_caught_up", lambda *_: iter(()))
    monkeypatch.setattr(upgrade, "exchange", lambda *_: 0)
    made.operations.deploy(made.code, 1)
    return made


def test_an_app_that_was_wanted_is_left_to_the_keeper_when_it_is_slow_to_start_again(world: World) -> None:
    world.slow = {1}
    with pytest.raises(Unhealthy, match="it is slow") as slow:
        world.operations.restart(2)
    assert "keeper" in slow.value.hint
    record = world.record()
    assert (record.wanted, record.parallelism, record.error) == ("running", 2, "it is slow")
    assert world.cluster.running == {1}


def test_an_app_that_was_stopped_is_stopped_again_when_it_does_not_become_healthy(world: World) -> None:
    world.operations.stop(drain=False)
    world.slow = {1}
    with pytest.raises(Unhealthy, match="it is slow"):
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
    assert completed_at(world.deployment.standing(1).restored) == 6


def test_a_version_that_failed_takes_no_savepoint_of_the_old_one_with_it(world: World) -> None:
    world.slow = {2}
    assert world.upgrade() == "put back"
    assert list(world.record().versions) == [1]
    assert completed_at(world.deployment.standing(1).restored) == 1, "where the old version goes on from, should it die"


def test_nothing_is_removed_while_the_old_version_is_not_back(world: World) -> None:
    world.slow, world.cluster.bad = {2}, {1}
    assert world.upgrade() == "broken"
    assert list(world.record().versions) == [1, 2]
    assert completed_at(world.deployment.standing(1).savepoint) == 1


def test_a_rebuild_begins_with_empty_topics_and_leaves_none(world: World) -> None:
    world.topics = {"p.seen.g2"}  # of a rebuild before the app was last deleted
    assert world.upgrade(rebuild=True) == "done"
    assert world.asked == ["delete p.seen.g2", "make p.seen.g2", "delete p.seen.g2"]


def test_a_deletion_takes_along_what_an_unfinished_rebuild_staged(world: World) -> None:
    assert world.upgrade(rebuild=True) == "done"
    world.topics = {"p.seen", "p.seen.g2"}
    told = world.operations.doomed()
    assert "topic p.seen.g2" in told
    assert "topic p.seen" not in told
    world.operations.delete()
    assert world.topics == {"p.seen"}
    assert not world.deployment.path.exists()


def test_what_a_killed_deletion_leaves_is_no_app_and_the_next_deployment_sweeps_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.upgrade() == "done"
    rmtree, folders = shutil.rmtree, [world.deployment.version(2)]

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
    world.slow, world.cluster.bad = {2}, {1}
    assert world.upgrade() == "broken"
    world.cluster.running.add(2)
    before = replace(world.record(), trying=2)
    world.deployment.write(before)
    files = sorted(world.deployment.path.rglob("*"))
    assert world.operations.doomed()
    assert world.operations.record() == before
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
    shutil.rmtree(world.deployment.version(1))
    assert world.operations.doomed() == [str(world.deployment.path)]
    world.operations.delete()
    assert not world.deployment.path.exists()
