from __future__ import annotations

import pytest

from olist.errors import Fenced, PositionRefused, TargetRewound
from olist.positions import Positions, TopicState, check_topic

HELD = Positions("t", "id-1", {0: 10, 1: 0})


def test_positions_survive_their_own_text_whatever_the_order_of_partitions() -> None:
    assert Positions.decode(HELD.encode()) == HELD
    assert Positions("t", "id-1", {1: 0, 0: 10}).encode() == HELD.encode()


def test_advancing_moves_the_named_partitions_only() -> None:
    assert HELD.advanced({1: 5}).next == {0: 10, 1: 5}


def test_a_position_never_moves_backward() -> None:
    with pytest.raises(PositionRefused, match="backward"):
        HELD.advanced({0: 9})


def test_positions_that_another_process_moved_fence_this_one() -> None:
    with pytest.raises(Fenced, match="partition 0: expected 8, found 10"):
        HELD.expect("lake table t", {0: 8})
    HELD.expect("lake table t", {0: 10})


def test_positions_before_where_this_process_left_them_say_that_the_target_was_set_back() -> None:
    with pytest.raises(TargetRewound, match="emptied it, restored it"):
        HELD.expect("lake table t", {0: 11})
    with pytest.raises(TargetRewound):
        HELD.expect("lake table t", {0: 8, 1: 3})
    with pytest.raises(Fenced) as ahead:
        HELD.expect("lake table t", {0: 8})
    assert not isinstance(ahead.value, TargetRewound)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (TopicState("t", "id-2", {0: 0, 1: 0}, {0: 10, 1: 0}), "was re-created"),
        (TopicState("t", "id-1", {0: 0, 1: 0}, {0: 9, 1: 0}), "ends below"),
        (TopicState("t", "id-1", {0: 0, 1: 0, 2: 0}, {0: 10, 1: 0, 2: 0}), "has 3 partitions"),
        (TopicState("t", "id-1", {0: 11, 1: 0}, {0: 20, 1: 0}), "begins above"),
    ],
)
def test_a_topic_that_does_not_fit_the_positions_is_refused_with_the_way_out(now: TopicState, reason: str) -> None:
    with pytest.raises(PositionRefused, match=reason) as refused:
        check_topic("postgres", HELD, now)
    assert "olist sink rebuild postgres" in refused.value.hint


def test_partitions_of_other_processes_are_not_judged_by_an_old_look() -> None:
    moved_by_others = TopicState("t", "id-1", {0: 11, 1: 0}, {0: 9, 1: 5})
    check_topic("postgres", HELD, moved_by_others, only=frozenset({1}))
    with pytest.raises(PositionRefused):
        check_topic("postgres", HELD, moved_by_others, only=frozenset({0}))


def test_a_topic_that_went_on_is_fine() -> None:
    check_topic("postgres", HELD, TopicState("t", "id-1", {0: 3, 1: 2}, {0: 99, 1: 5}))
