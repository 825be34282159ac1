from __future__ import annotations

from sinks.runtime.runner import LOG_EVERY_S, Throughput


def test_a_line_comes_when_its_time_has_come_and_counts_what_came_since_the_last() -> None:
    throughput = Throughput(since_s=0.0)
    assert throughput.take(100, 1.0) is None
    assert throughput.take(100, LOG_EVERY_S) == {"records": 200, "per_s": 20}
    assert throughput.take(50, 2 * LOG_EVERY_S) == {"records": 50, "per_s": 5}


def test_an_idle_sink_is_silent() -> None:
    throughput = Throughput(since_s=0.0)
    assert throughput.take(0, 100.0) is None
