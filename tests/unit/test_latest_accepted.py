"""What a refused change costs its neighbours: rows are counted as they are offered to the target."""

from __future__ import annotations

import polars as pl

from sinks.base import Refusal
from sinks.latest_accepted import ROW, latest_accepted, send_latest


class Choosy:
    """Refuses some rows; keeps what it was sent for good."""

    def __init__(self, refuses: set[int]) -> None:
        self.refuses = refuses
        self.offered = 0
        self.calls = 0
        self.sent: set[int] = set()

    def probe(self, rows: pl.DataFrame) -> list[Refusal]:
        self.offered, self.calls = self.offered + rows.height, self.calls + 1
        return [Refusal(row, "no") for row in rows[ROW] if row in self.refuses]

    def send(self, rows: pl.DataFrame) -> list[Refusal]:
        assert rows["key"].is_unique().all()
        self.sent |= set(rows[ROW]) - self.refuses
        return self.probe(rows)


def changes(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"key": list(keys)}, schema={"key": pl.String}).with_row_index(ROW)


def refused_of(frame: pl.DataFrame, target: Choosy) -> list[int]:
    refused = send_latest(frame, ("key",), [], target.send, target.probe)
    assert target.sent == set(latest_accepted(frame, ("key",), refused)[ROW])
    return sorted(refused)


def test_without_refusals_each_key_is_sent_once() -> None:
    target = Choosy(set())
    assert refused_of(changes("a", "b", "a"), target) == []
    assert (target.sent, target.offered) == ({1, 2}, 2)


def test_the_newest_change_that_is_accepted_is_sent_and_those_after_it_are_named() -> None:
    target = Choosy({1, 3, 4, 5})
    assert refused_of(changes("a", "a", "a", "a", "a", "b"), target) == [3, 4, 5]
    assert target.sent == {2}


def test_many_refusals_of_many_keys_cost_no_batch_each() -> None:
    keys = [f"k{n % 10_000}" for n in range(20_000)]
    target = Choosy({n for n in range(20_000) if n % 10 == 3 and n >= 10_000})
    assert len(refused_of(changes(*keys), target)) == 1_000
    assert target.offered <= 10_000 + 2 * 1_000 + 1_000


def test_many_refusals_of_one_key_cost_steps_that_double() -> None:
    keys = [*(f"k{n}" for n in range(18_000)), *(["hot"] * 2_000)]
    target = Choosy(set(range(18_001, 20_000)))
    assert len(refused_of(changes(*keys), target)) == 1_999
    assert target.sent == set(range(18_001))
    assert target.calls < 20
    assert target.offered <= 18_001 + 2 * 2_000


def test_a_key_of_which_nothing_is_accepted_is_left_out() -> None:
    target = Choosy({0, 1, 2})
    assert refused_of(changes("a", "a", "a", "b"), target) == [0, 1, 2]
    assert target.sent == {3}
