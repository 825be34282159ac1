"""The decisions behind a deployment, without a server."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olist.contracts import Contract
from olist.errors import BadInput
from olist.settings import Settings
from olist.stack.hooks import stack_hooks
from olist.stack.local import Stack
from olist.tables import ORDERS
from stream_apps.app import FaustApp, FlinkApp, Input
from stream_apps.app_topics import generation_name, staged_app
from stream_apps.deploy import stack_hooks as apps_hooks
from stream_apps.deploy.readiness import HOPELESS_AFTER, judge, reason
from stream_apps.deploy.reconcile import (
    LONGEST_PAUSE_S,
    MOST_ATTEMPTS,
    STEADY_S,
    after_settling,
    after_start,
    decide,
    given_up,
)
from stream_apps.deploy.store import Busy, Deployment
from stream_apps.deploy.upgrade_steps import BESIDE, ENDS, RETURN, TAKE_OVER, End, Step, Table, of_stopped, walk
from stream_apps.engine import Observation, Phase
from stream_apps.faust.state_compatibility import described, obstacles
from stream_apps.loader import load_app, loaded
from stream_apps.records import EngineName, Record, VersionRecord, VersionState

FIRST: dict[str, tuple[Table, Step]] = {
    "take over": (TAKE_OVER, "save old"),
    "beside": (BESIDE, "start beside"),
    "return": (RETURN, "save old"),
    "take over, stopped": (of_stopped(TAKE_OVER), "save old"),
    "beside, stopped": (of_stopped(BESIDE), "start beside"),
    "return, stopped": (of_stopped(RETURN), "save old"),
}


def record(**changed: Any) -> Record:
    version = VersionRecord(number=1, generation=1, digest="d", made=0.0)
    given = {
        "name": "a",
        "engine": "flink",
        "wanted": "running",
        "current": 1,
        "versions": {1: version},
        "proven": True,
    }
    return Record(**{**given, **changed})


class World:
    """Which version writes the real topic, and whether the old one's state is safe."""

    def __init__(self, *, stopped: bool) -> None:
        self.writers, self.saved, self.rows = (set[str]() if stopped else {"old"}), False, "old"

    def act(self, step: Step, well: bool) -> bool:
        if step in ("save old", "save both") and well:
            self.writers.discard("old")
            self.saved = True
        elif step == "start new" and well:
            assert self.saved, "the new version may start only when the old one's state is written down"
            self.writers.add("new")
        elif step == "cancel new":
            self.writers -= {"new"} if well else set()
        elif step == "start old" and well:
            self.writers.add("old")
        elif step in ("exchange rows", "return rows"):
            assert not self.writers, "rows change hands only while nobody writes them"
            self.rows = "new" if well else "a mixture"
        elif step == "put rows back" and well:
            self.rows = "old"
        assert len(self.writers) <= 1
        return well


@pytest.mark.parametrize("road", FIRST)
@given(outcomes=st.lists(st.booleans(), min_size=20, max_size=20))
def test_a_walk_ends_with_one_writer_and_its_own_rows_whatever_fails(road: str, outcomes: list[bool]) -> None:
    table, first = FIRST[road]
    world, answers = World(stopped="stopped" in road), iter(outcomes)
    visited = list(walk(table, first, lambda step: world.act(step, next(answers))))
    assert visited[-1] in ENDS
    assert len(visited) == len(set(visited)), "no step is taken twice"
    expected: dict[End, set[str]] = {"done": {"new"}, "untouched": {"old"}, "put back": {"old"}, "left stopped": set()}
    if visited[-1] != "broken":
        assert world.writers == expected[visited[-1]]
    if visited[-1] in ("untouched", "put back", "left stopped") and world.rows != "old":
        raise AssertionError("the old version goes on with rows that are not its own")
    if visited[-1] == "done" and "take over" not in road:
        assert world.rows == "new"


@pytest.mark.parametrize("road", FIRST)
def test_every_step_leads_to_steps_of_its_own_table(road: str) -> None:
    table, first = FIRST[road]
    assert {to for ways in table.values() for to in ways} - set(ENDS) | {first} == set(table)


@pytest.mark.parametrize(
    ("observed", "waited_s", "expected"),
    [
        (Observation(phase="running", settled=True), 0, "healthy"),
        (Observation(phase="running"), 10, "undecided"),
        (Observation(phase="running"), 60, "unhealthy"),
        (Observation(phase="starting"), 59, "undecided"),
        (Observation(phase="failed"), 0, "unhealthy"),
        (Observation(phase="failing", restarts=HOPELESS_AFTER - 1), 1, "undecided"),
        (Observation(phase="failing", restarts=HOPELESS_AFTER), 1, "unhealthy"),
    ],
)
def test_health_is_settling_in_time(observed: Observation, waited_s: float, expected: str) -> None:
    assert judge(observed, waited_s, within_s=60) == expected


def test_an_unhealthy_version_is_told_with_its_exception() -> None:
    told = reason(Observation(phase="failing", restarts=3, error="Error while getting state"), 12.4)
    assert told == "failing after 12 s, restarted 3 times: Error while getting state"


@pytest.mark.parametrize(
    ("changed", "phase", "settled", "expected"),
    [
        ({}, "running", True, "leave"),
        ({}, "failing", False, "leave"),
        ({}, "absent", False, "start"),
        ({}, "failed", False, "start"),
        ({"not_before": 101.0}, "absent", False, "leave"),
        ({"attempts": MOST_ATTEMPTS}, "absent", False, "leave"),
        ({"attempts": 2}, "running", False, "leave"),
        ({"attempts": 2}, "running", True, "settle"),
        ({"attempts": 2, "not_before": 99.0}, "running", False, "leave"),
        ({"wanted": "stopped"}, "running", True, "stop"),
        ({"wanted": "stopped"}, "absent", False, "leave"),
        ({"trying": 2}, "running", True, "undo"),
        ({"trying": 2, "wanted": "stopped"}, "absent", False, "undo"),
        ({"target": "k8s"}, "absent", False, "leave"),
    ],
)
def test_the_supervisor_does_one_thing(changed: dict[str, Any], phase: Phase, settled: bool, expected: str) -> None:
    assert decide(record(**changed), Observation(phase=phase, settled=settled, since=50.0), now=100.0) == expected


def test_attempts_are_forgotten_only_of_an_app_that_stays_well() -> None:
    well = Observation(phase="running", settled=True, since=100.0)
    assert decide(record(attempts=2), well, now=100.0 + STEADY_S - 1) == "leave"
    assert decide(record(attempts=2), well, now=100.0 + STEADY_S) == "settle"
    assert decide(record(proven=False), well, now=101.0) == "settle"


def test_starting_again_waits_longer_each_time_and_ends() -> None:
    now, wanted, pauses = 0.0, record(), []
    while decide(wanted, Observation(phase="failed"), now) == "start":
        wanted = after_start(wanted, now, "it fell over")
        pauses.append(wanted.not_before - now)
        now = wanted.not_before
    assert pauses == sorted(pauses)
    assert pauses[0] == 1.0
    assert pauses[-1] == LONGEST_PAUSE_S
    assert (len(pauses), given_up(wanted), wanted.error) == (MOST_ATTEMPTS, True, "it fell over")
    well = after_settling(wanted)
    assert (well.attempts, well.error, well.restarts, given_up(well)) == (0, "", MOST_ATTEMPTS, False)


def test_records_and_standings_come_back_as_they_were_written(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path / "a")
    assert (deployment.record(), deployment.state_of(1)) == (None, VersionState())
    wanted, state = record(previous=3, trying=4), VersionState(jobs=("x", "y"), savepoint="file:/s")
    deployment.write(wanted)
    deployment.save_state(1, state)
    assert (deployment.record(), deployment.state_of(1), state.job) == (wanted, state, "y")


def _hold(path: Path, held: Any, leave: Any) -> None:
    with Deployment(path).alone():
        held.set()
        leave.wait(30)


def test_two_processes_never_change_one_deployment_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, leave = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, leave))
    other.start()
    assert held.wait(30)
    with pytest.raises(Busy, match=f"is being changed by pid {other.pid}"), Deployment(tmp_path).alone():
        pass
    other.kill()
    other.join()
    with Deployment(tmp_path).alone():
        pass


APP = """
from olist.contracts import Contract, Row, Str
from olist.tables import ORDERS
from stream_apps.app import FlinkApp

class Seen(Row):
    order_id: Str

APP = FlinkApp("{name}", (ORDERS,), Contract("seen", Seen, ("order_id",)), "select order_id from orders")
"""


def test_an_app_is_loaded_from_any_file(tmp_path: Path) -> None:
    path = tmp_path / "seen_orders.py"
    path.write_text(APP.format(name="seen_orders"))
    app = load_app(path)
    assert (app.name, [column.name for column in app.outputs[0].columns]) == ("seen_orders", ["order_id"])


def test_a_file_that_changes_within_a_second_is_read_anew_though_its_size_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "seen_orders.py"
    for columns in ("order_id", "ORDER_ID"):
        path.write_text(APP.format(name="seen_orders").replace("select order_id", f"select {columns}"))
        os.utime(path, (1, 1))
        app = load_app(path)
        assert isinstance(app, FlinkApp)
        assert app.select == f"select {columns} from orders"


def test_a_version_that_an_earlier_release_copied_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "seen_orders.py"
    path.write_text(
        "from stream_apps.flink.rows import cents\n"
        "from stream_apps.flink.text import literal\n"
        "from stream_apps.lexicon.complaints import topics\n"
        "from stream_apps.lexicon.language import language\n"
        "from stream_apps.lexicon.words import word_count\n" + APP.format(name="seen_orders")
    )
    assert load_app(path).name == "seen_orders"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("", "declares no app"),
        ("1 / 0", "ZeroDivisionError"),
        (APP.format(name="other"), "its app is named other"),
    ],
)
def test_a_file_that_is_no_app_is_refused_with_the_reason(tmp_path: Path, code: str, problem: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(code)
    with pytest.raises(BadInput, match=problem):
        load_app(path)
    for load in (load_app, loaded):
        with pytest.raises(BadInput, match="there is no file"):
            load(tmp_path / "none.py")


class Inner(msgspec.Struct):
    at: int = 0


class State(msgspec.Struct):
    count: int = 0
    seen: dict[str, Inner] = {}


def app_of(state: type[msgspec.Struct], by: tuple[str, ...] = ("order_id",)) -> FaustApp[Any]:
    return FaustApp("a", (Input(ORDERS, by),), (), state, lambda s, _i, _c: s, lambda _k, _s, _t: ())


def changes(state: type[msgspec.Struct], by: tuple[str, ...] = ("order_id",)) -> list[str]:
    return list(obstacles(described(app_of(State)), described(app_of(state, by))))


def test_a_state_is_carried_when_it_is_equal_or_has_more_optional_fields() -> None:
    more = msgspec.defstruct("State", [("count", int, 0), ("seen", dict[str, Inner], {}), ("last", str | None, None)])
    assert changes(State) == []
    assert changes(more) == []


def test_a_state_is_refused_with_the_field_that_stands_in_the_way() -> None:
    other = msgspec.defstruct("State", [("count", str, ""), ("seen", dict[str, Inner], {})])
    fewer = msgspec.defstruct("State", [("count", int, 0)])
    demanding = msgspec.defstruct("State", [("must", int), ("count", int, 0), ("seen", dict[str, Inner], {})])
    inner: Any = msgspec.defstruct("Inner", [("at", str, "")])
    deeper = msgspec.defstruct("State", [("count", int, 0), ("seen", dict[str, inner], {})])
    assert changes(other) == ["count of the state is of another type"]
    assert changes(fewer) == ["the state has no seen any more"]
    assert "must of the state is new and has no default" in changes(demanding)
    assert changes(deeper) == ["at of Inner is of another type"]
    assert changes(State, by=("customer_id",)) == ["orders is read by other columns: the keys of the states are others"]


def test_a_generation_of_its_own_writes_beside_the_real_topics_under_the_same_table(tmp_path: Path) -> None:
    path = tmp_path / "seen_orders.py"
    path.write_text(APP.format(name="seen_orders"))
    app = load_app(path)
    staged: Contract = staged_app(app, generation_name(2)).outputs[0]
    assert (staged.topic("p"), staged.table) == ("p.seen.g2", "seen")
    assert (generation_name(1), app.outputs[0].topic("p")) == ("", "p.seen")


@pytest.mark.parametrize(("engine", "started"), [("flink", True), ("faust", False)])
def test_flink_starts_with_the_usual_servers_of_a_home_that_wants_an_app_on_it(
    tmp_path: Path, engine: EngineName, started: bool
) -> None:
    settings = Settings(home=tmp_path)
    assert "jobmanager" not in Stack(settings).servers
    deployment = Deployment.of(settings, "a")
    deployment.write(record(engine=engine))
    assert ({"jobmanager", "taskmanager"} <= set(Stack(settings).servers)) is started
    deployment.write(record(engine=engine, wanted="stopped"))
    assert "jobmanager" not in Stack(settings).servers


def test_a_home_has_one_supervisor_and_only_where_something_is_wanted(tmp_path: Path) -> None:
    (found,) = (one for one in stack_hooks() if one.begin is apps_hooks.begin)
    settings = Settings(home=tmp_path, kafka="127.0.0.1:1")
    found.begin(settings)
    assert apps_hooks.supervisor_pid(settings) is None
    deployment = Deployment.of(settings, "a")
    deployment.write(record(engine="faust", attempts=MOST_ATTEMPTS))  # wanted, and left alone
    found.begin(settings)
    pid = apps_hooks.supervisor_pid(settings)
    assert pid is not None
    found.begin(settings)
    assert apps_hooks.supervisor_pid(settings) == pid
    found.end(settings)
    assert apps_hooks.supervisor_pid(settings) is None
    assert found.data(settings) == [tmp_path / "apps"]
