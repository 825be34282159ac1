"""When a table of a sink waits, stops and is tried again."""

from __future__ import annotations

import pytest

from olist.errors import ContractRefused, Fenced, PositionRefused, ServerTrouble, TargetRewound, TooManyDeadLetters
from sinks.runtime.table_state import LOG_AGAIN_S, LONGEST_PAUSE_S, MAX_FENCED, REOPEN_AFTER_S, TableState

AWAY = ServerTrouble("postgres", "away")
PATIENCE_S = 100.0


def after(error: BaseException, times: int = 1, every_s: float = 1.0) -> tuple[TableState, float]:
    """A table that failed so often, opened again between."""
    made, now = TableState(PATIENCE_S), 1_000.0
    for n in range(times):
        if n:
            made.resumed(now)
        made.failed(error, now)
        now += every_s
    return made, now - every_s


def test_trouble_is_waited_out_in_pauses_that_grow() -> None:
    pauses = []
    for times in range(1, 12):
        made, now = after(AWAY, times, every_s=0.0)
        assert made.name == "waiting"
        assert made.retry_at is not None
        pauses.append(made.retry_at - now)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S


def test_trouble_that_outlasts_the_patience_stops_the_table_which_is_looked_at_again() -> None:
    made, now = after(AWAY, 21, every_s=5.0)
    assert made.name == "stopped"
    assert not made.is_due(now)
    assert made.is_due(now + REOPEN_AFTER_S)


def test_a_table_that_opens_but_cannot_commit_loses_patience_all_the_same() -> None:
    assert after(AWAY, 20, every_s=5.0)[0].name == "waiting"
    assert after(AWAY, 22, every_s=5.0)[0].name == "stopped"


def test_a_commit_ends_the_trouble() -> None:
    made, now = after(AWAY, 20, every_s=5.0)
    made.resumed(now)
    made.committed()
    made.failed(AWAY, now + 50)
    assert made.name == "waiting"
    assert made.retry_at == pytest.approx(now + 50.1)


def test_an_old_trouble_after_which_nothing_came_to_write_is_over() -> None:
    made, now = after(AWAY)
    made.resumed(now)
    made.failed(AWAY, now + 10_000)
    assert made.name == "waiting"


def test_a_fence_is_looked_at_again_some_times_and_then_believed() -> None:
    assert after(Fenced("x"), MAX_FENCED, every_s=0.0)[0].name == "waiting"
    assert after(Fenced("x"), MAX_FENCED + 1, every_s=0.0)[0].name == "stopped"


def test_a_target_that_was_set_back_is_never_taken_for_a_fence() -> None:
    assert after(TargetRewound("x"), 3 * MAX_FENCED, every_s=0.0)[0].name == "waiting"


@pytest.mark.parametrize("error", [ContractRefused("a column"), PositionRefused("another topic")])
def test_what_somebody_may_mend_stops_the_table_and_is_looked_at_again(error: BaseException) -> None:
    made, now = after(error)
    assert made.has_stopped
    assert not made.is_final
    assert made.is_due(now + REOPEN_AFTER_S)


@pytest.mark.parametrize("error", [TooManyDeadLetters("1001"), KeyError("unforeseen")])
def test_what_would_do_more_harm_the_second_time_stops_the_table_for_this_process(error: BaseException) -> None:
    made, now = after(error)
    assert made.is_final
    assert not made.is_due(now + 1e9)


def test_what_is_wrong_is_said_at_once_and_again_now_and_then() -> None:
    made, now = after(AWAY)
    assert [made.is_due_for_log(now + s) for s in (0, 1, LOG_AGAIN_S - 1, LOG_AGAIN_S, LOG_AGAIN_S + 1)] == [
        True,
        False,
        False,
        True,
        False,
    ]
    made.failed(ContractRefused("a column"), now + LOG_AGAIN_S + 2)
    assert made.is_due_for_log(now + LOG_AGAIN_S + 2), "another state is news"
    made.resumed(now + LOG_AGAIN_S + 3)
    assert not made.is_due_for_log(now + 1e9)
