"""How a rebuilt version takes the old one's place: when it is as far, and which rows it then writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from olist.positions import TopicState
from olist.settings import Settings
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.lag import Lag, distances, is_as_far
from stream_apps.deploy.readiness import until_caught_up
from stream_apps.deploy.store import Deployment
from stream_apps.deploy.topic_swap import edits, row
from stream_apps.engine import Observation
from tests.clocks import StoppedClock


def wire(after: str) -> bytes:
    return b'{"before":null,"after":%s,"op":"u","ts_ms":1}' % after.encode()


def test_rows_are_compared_without_what_differs_between_any_two_writers() -> None:
    there = {b"same": wire('{"a":1}'), b"new form": wire('{"a":1}'), b"left": wire('{"a":3}'), b"deleted": None}
    wanted = {b"same": wire('{"a":1}').replace(b"1}", b"1} "), b"new form": wire('{"a":1,"b":2}'), b"more": wire("{}")}
    assert dict(edits(there, wanted)) == {
        b"new form": wanted[b"new form"],
        b"more": wanted[b"more"],
        b"left": None,
    }


def test_a_delete_is_no_row_be_it_an_envelope_or_its_tombstone() -> None:
    assert row(None) is row(wire("null")) is None
    assert list(edits({b"k": wire("null")}, {})) == []
    assert list(edits({b"k": wire("{}")}, {b"k": None})) == [(b"k", None)]


@given(
    there=st.dictionaries(st.binary(max_size=2), st.none() | st.integers(0, 3).map(lambda n: wire(str(n)))),
    wanted=st.dictionaries(st.binary(max_size=2), st.none() | st.integers(0, 3).map(lambda n: wire(str(n)))),
)
def test_after_the_edits_the_topic_holds_the_wanted_rows_and_repeating_changes_nothing(
    there: dict[bytes, bytes | None], wanted: dict[bytes, bytes | None]
) -> None:
    after = {**there, **dict(edits(there, wanted))}
    assert {k: v for k, v in after.items() if v} == {k: v for k, v in wanted.items() if v}
    assert list(edits(after, wanted)) == []


def test_lag_counts_from_what_was_committed_or_the_first_record_that_is_there() -> None:
    state = TopicState("t", "id", {0: 5, 1: 0, 2: 7}, {0: 9, 1: 4, 2: 7})
    assert distances([state], {("t", 0): 8, ("other", 1): 4}) == {("t", 0): 1, ("t", 1): 4}
    assert distances([state], {("t", 0): 2}) == {("t", 0): 4, ("t", 1): 4}  # what was before 5 is compacted away
    assert distances([state], {("t", 0): 9, ("t", 1): 5}) == {}


def test_a_new_version_is_as_far_as_the_old_one_only_where_it_has_read_what_that_has() -> None:
    states = [TopicState("t", "id", {0: 5, 1: 0}, {0: 100, 1: 0}), TopicState("u", "id", {0: 0}, {0: 50})]
    old = {("t", 0): 40, ("u", 0): 20}
    assert is_as_far(old, {("t", 0): 40, ("u", 0): 21}, states)
    assert not is_as_far(old, {("t", 0): 90, ("u", 0): 10}, states), "as many wait, and others"
    assert not is_as_far(old, {("u", 0): 20}, states)
    assert is_as_far({("t", 0): 4, ("u", 0): 20}, {("u", 0): 20}, states), "what was before 5 is compacted away"
    assert not is_as_far({("t", 0): 40}, {("t", 0): 90, ("u", 0): 49}, states), "nobody knows how far the old one was"


def test_a_rebuild_beside_a_stopped_version_waits_until_it_has_read_is_as_far(tmp_path: Path) -> None:
    compared: list[tuple[str, str, list[str]]] = []

    class Behind:
        """A broker where as many records wait for the old version as for the new one."""

        def lag(self, _group: str, topics: Iterable[str]) -> Lag:
            return Lag(60, 1000.0 if "t" in topics else 0.0)

        def is_as_far(self, group: str, other: str, topics: list[str]) -> bool:
            compared.append((group, other, topics))
            return len(compared) == 3

    engine: Any = SimpleNamespace(
        observe=lambda _: Observation(phase="running"),
        group=lambda version: f"{version.number}",
        topics=lambda version: ["t", f"{version.number}.by-key"],
    )
    kafka: Any = Behind()
    deployment = Deployment(tmp_path / "a")
    app = DeployedApp(Settings(), deployment, "faust", kafka, StoppedClock().clock, lambda *_: engine)
    old, new = (deployment.new_version(number, number, 1) for number in (1, 2))
    assert list(until_caught_up(app, old, new)) == [60, 60, 60]
    assert compared == [("2", "1", ["t"])] * 3
