"""What people see of deployed apps."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stream_apps import catalogue
from stream_apps.cli.view import age, status_report
from stream_apps.deploy.status import AppStatus

NOW = 1_700_000_000.0


def printed(*found: AppStatus, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    table, problems = status_report(found, NOW)
    for part in (table, *problems):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def app(name: str, **different: object) -> AppStatus:
    common: dict[str, object] = {
        "name": name,
        "engine": "flink",
        "target": "local",
        "wanted": "running",
        "state": "running",
        "healthy": True,
        "version": 12,
        "previous": 11,
        "parallelism": 2,
        "since": NOW - 7_300,
        "lag": 1_234_567,
        "freshness_s": 59.0,
        "checkpoint_age_s": 4.0,
        "checkpoint_bytes": 123_456_789,
    }
    return AppStatus(**{**common, **different})  # type: ignore[arg-type] # a test's shorthand


def test_every_app_of_ours_fits_a_line_of_eighty_columns() -> None:
    lines = printed(*(app(name) for name in catalogue.apps()))
    assert len(lines) == 1 + len(catalogue.apps())
    row = next(line for line in lines if line.startswith("order_documents"))
    assert " ".join(row.split()) == "order_documents flink x2 running 12 2 h 1,234,567 59 s 0 4 s 123.5 MB"


def test_an_error_is_told_below_and_in_full_while_the_app_is_not_as_it_is_wanted() -> None:
    assert printed(app("one", error="it fell over\nline 2"))[2:] == ["one: it fell over"]
    assert printed(app("one", healthy=False, error="it fell over\nline 2"))[2:] == ["one: it fell over", "line 2"]


@pytest.mark.parametrize(
    ("seconds", "told"), [(-1, "0 s"), (59.4, "59 s"), (60, "1 min"), (7_300, "2 h"), (90_000, "1 d")]
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert age(seconds) == told
