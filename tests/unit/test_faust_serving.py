"""What workers tell of themselves, as metrics."""

from __future__ import annotations

from itertools import count

from prometheus_client import REGISTRY

from stream_apps.faust.serving import Served
from stream_apps.faust.telling import Status

_apps = count()


def app() -> str:
    return f"served{next(_apps)}"


def value(name: str, app: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"app": app, **labels})


def test_counts_of_all_workers_are_added_up() -> None:
    name = app()
    served = Served(name)
    served.show([Status(name, "g", pid=1, events=10, rows=4), Status(name, "g", pid=2, events=5, rows=1)])
    served.show([Status(name, "g", pid=1, events=12, rows=4), Status(name, "g", pid=2, events=9, rows=2)])
    assert (value("olist_app_events_total", name), value("olist_app_rows_total", name)) == (21, 6)


def test_a_worker_that_begins_at_nothing_again_makes_no_count_fall() -> None:
    name = app()
    served = Served(name)
    served.show([Status(name, "g", pid=1, events=10, dead_letters={"decode": 3})])
    served.show([])
    served.show([Status(name, "g", pid=2, events=2, dead_letters={"decode": 1})])
    assert value("olist_app_events_total", name) == 12
    assert value("olist_app_dead_letters_total", name, stage="decode") == 4


def test_rows_that_no_worker_holds_any_more_stand_at_zero() -> None:
    name = app()
    served = Served(name)
    served.show([Status(name, "g", pid=1, standing={"late": 2}), Status(name, "g", pid=2, standing={"late": 1})])
    assert value("olist_app_rows_standing", name, kind="late") == 3
    served.show([Status(name, "g", pid=1, standing={"lost": 1})])
    assert value("olist_app_rows_standing", name, kind="late") == 0
    assert value("olist_app_rows_standing", name, kind="lost") == 1


def test_lag_is_the_sum_and_freshness_that_of_the_newest_change() -> None:
    name = app()
    older = Status(name, "g", pid=1, lag=3, last_event_us=1_000_000)
    unknown = Status(name, "g", pid=3)
    Served(name).show([older, Status(name, "g", pid=2, lag=4, last_event_us=9_000_000_000_000_000), unknown])
    assert value("olist_app_lag", name) == 7
    assert (value("olist_app_freshness_seconds", name) or 0) < 0
