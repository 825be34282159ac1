from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from olist.contracts import Contract
from olist.errors import ServerTrouble
from olist.positions import Positions
from olist.settings import Settings
from sinks.check import waiting
from sinks.check.waiting import wait_for
from sinks.readback import Reading, empty
from tests.laws.parcels import PARCELS

ENDS = {PARCELS.table: {0: 10, 1: 5}}


def at(*offsets: int) -> Positions:
    return Positions("t", "id", dict(enumerate(offsets)))


def waited(
    monkeypatch: pytest.MonkeyPatch, looks: list[Positions | ServerTrouble | None], within_s: float
) -> list[int]:
    """How many lagged at each look, when one target gives these answers."""
    answers: Iterator[Positions | ServerTrouble | None] = iter(looks)

    def answer(_target: str, _contract: Contract, _settings: Settings) -> Positions | None:
        found = next(answers)
        if isinstance(found, ServerTrouble):
            raise found
        return found

    told: list[int] = []
    monkeypatch.setattr(waiting, "read_positions", answer)
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.0)
    wait_for([("memory", PARCELS)], ENDS, Settings(), within_s, told.append)
    return told


def test_it_returns_at_once_when_all_have_reached_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, [at(10, 5)], 60) == [0]


def test_positions_past_the_ends_have_reached_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, [at(99, 5)], 60) == [0]


def test_it_looks_again_until_every_partition_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, [None, at(10, 4), at(9, 5), at(10, 5)], 60) == [1, 1, 1, 0]


def test_a_server_that_is_away_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, [ServerTrouble("memory", "away"), at(10, 5)], 60) == [1, 0]


def test_it_gives_up_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, [at(0, 0)], 0) == [1]


def test_where_nothing_was_written_the_table_itself_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = iter([None, ServerTrouble("memory", "away"), Reading(None, iter([empty(PARCELS)]))])

    @contextmanager
    def read(_target: str, _contract: Contract, _settings: Settings) -> Iterator[Reading | None]:
        found = next(tables)
        if isinstance(found, ServerTrouble):
            raise found
        yield found

    told: list[int] = []
    monkeypatch.setattr(waiting, "read", read)
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.0)
    wait_for([("memory", PARCELS)], {PARCELS.table: {0: 0, 1: 0}}, Settings(), 60, told.append)
    assert told == [1, 1, 0]
