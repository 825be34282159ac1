"""Metrics from the status files of workers."""

from __future__ import annotations

from itertools import count

from prometheus_client import REGISTRY

from stream_apps.faust.worker_status import Status, WorkerMetrics

_apps = count()


def app() -> str:
    return f"served{next(_apps)}"


def value(name: str, app: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"app": app, **labels})


def test_counts_of_all_workers_are_added_up() -> None:
    name = app()
    metrics = WorkerMetrics(name)
    metrics.show([Status(name, "g", pid=1, events=10, rows=4), Status(name, "g", pid=2, events=5, rows=1)])
    metrics.show([Status(name, "g", pid=1, events=12, rows=4), Status(name, "g", pid=2, events=9, rows=2)])
    assert (value("olist_app_events_total", name), value("olist_app_rows_total", name)) == (21, 6)


def test_a_worker_that_begins_at_nothing_again_makes_no_count_fall() -> None:
    name = app()
    metrics = WorkerMetrics(name)
    metrics.show([Status(name, "g", pid=1, events=10, dead_letters={"decode": 3})])
    metrics.show([])
    metrics.show([Status(name, "g", pid=2, events=2, dead_letters={"decode": 1})])
    assert value("olist_app_events_total", name) == 12
    assert value("olist_app_dead_letters_total", name, stage="decode") == 4


def test_rows_that_no_worker_owns_any_more_stand_at_zero() -> None:
    name = app()
    metrics = WorkerMetrics(name)
    metrics.show([Status(name, "g", pid=1, standing={"late": 2}), Status(name, "g", pid=2, standing={"late": 1})])
    assert value("olist_app_rows_standing", name, kind="late") == 3
    metrics.show([Status(name, "g", pid=1, standing={"lost": 1})])
    assert value("olist_app_rows_standing", name, kind="late") == 0
    assert value("olist_app_rows_standing", name, kind="lost") == 1


def test_lag_is_the_sum_and_freshness_that_of_the_newest_change() -> None:
    name = app()
    older = Status(name, "g", pid=1, lag=3, last_event_us=1_000_000)
    unknown = Status(name, "g", pid=3)
    WorkerMetrics(name).show([older, Status(name, "g", pid=2, lag=4, last_event_us=9_000_000_000_000_000), unknown])
    assert value("olist_app_lag", name) == 7
    assert (value("olist_app_freshness_seconds", name) or 0) < 0
