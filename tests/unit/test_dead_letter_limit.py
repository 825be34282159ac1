from __future__ import annotations

import pytest

from olist.errors import TooManyDeadLetters
from sinks.dead_letters import Limit


def test_letters_within_the_limit_pass() -> None:
    limit = Limit(most=10, window_s=60)
    for now in range(0, 600, 60):
        limit.take(10, float(now))


def test_one_letter_over_the_limit_within_the_window_stops_the_sink() -> None:
    limit = Limit(most=10, window_s=60)
    limit.take(10, 0.0)
    with pytest.raises(TooManyDeadLetters, match="11 records refused within 60 s, the limit is 10"):
        limit.take(1, 59.9)


def test_letters_that_were_refused_do_not_count_against_later_ones() -> None:
    limit = Limit(most=10, window_s=60)
    with pytest.raises(TooManyDeadLetters):
        limit.take(11, 0.0)
    limit.take(10, 1.0)
