from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from olist.errors import TooManyDeadLetters
from olist.topics.dead_letters import Limit


def test_the_limit_counts_a_window_at_a_time_and_one_letter_over_it_stops_the_sink() -> None:
    limit = Limit(most=10, window_s=60)
    for now in range(0, 600, 60):
        limit.take([(now, letter) for letter in range(10)], float(now))
    with pytest.raises(TooManyDeadLetters, match="11 records refused within 60 s, the limit is 10"):
        limit.take(["one more"], 540 + 59.9)


def test_letters_that_were_refused_do_not_count_against_later_ones() -> None:
    limit = Limit(most=10, window_s=60)
    with pytest.raises(TooManyDeadLetters):
        limit.take(range(11), 0.0)
    limit.take(range(11, 21), 1.0)


def test_a_letter_that_is_written_again_after_trouble_counts_once() -> None:
    limit = Limit(most=10, window_s=60)
    for attempt in range(5):
        limit.take(range(10), float(attempt))
    with pytest.raises(TooManyDeadLetters, match="11 records"):
        limit.take(["one more"], 5.0)


def test_tables_that_are_written_side_by_side_share_the_limit() -> None:
    limit = Limit(most=4_000, window_s=60)

    def write(table: int) -> None:
        for letter in range(1_000):
            limit.take([(table, letter)], 0.0)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(4))) == [None] * 4
    with pytest.raises(TooManyDeadLetters):
        limit.take(["one more"], 1.0)
