from __future__ import annotations

import pytest

from olist.errors import TooManyDeadLetters
from sinks.dead_letters import Limit


def test_the_limit_counts_a_window_at_a_time_and_one_letter_over_it_stops_the_sink() -> None:
    limit = Limit(most=10, window_s=60)
    for now in range(0, 600, 60):
        limit.take(10, float(now))
    with pytest.raises(TooManyDeadLetters, match="11 records refused within 60 s, the limit is 10"):
        limit.take(1, 540 + 59.9)


def test_letters_that_were_refused_do_not_count_against_later_ones() -> None:
    limit = Limit(most=10, window_s=60)
    with pytest.raises(TooManyDeadLetters):
        limit.take(11, 0.0)
    limit.take(10, 1.0)
