from __future__ import annotations

import json

import pytest
from rich.console import Console

from benchmarks.freshness import Freshness
from benchmarks.report import Report, as_json, show
from benchmarks.sinks import Cost

COST = Cost("iceberg: things", changes=1_000_000, cpu_s=8.0, wall_s=9.0, stages_s={"consume": 2.0, "commit": 1.0})


def test_what_no_stage_counted_is_other_and_all_shares_make_one() -> None:
    assert COST.shares == {"consume": 0.25, "commit": 0.125, "other": 0.625}
    assert (COST.per_core, COST.micros) == (125_000, 8.0)


def test_a_process_without_stages_has_no_shares() -> None:
    assert Cost("peer", 10, 1.0, 1.0).shares == {}


def test_the_json_has_each_rate_and_share() -> None:
    report = json.loads(as_json(Report("a machine", [COST], [Freshness("iceberg", 5, 1.0, 2.0, 3.0)])))
    (cost,) = report["costs"]
    assert cost["changes_per_s_core"] == 125_000
    assert cost["shares"]["other"] == 0.625
    assert report["freshness"][0]["p99_ms"] == 2.0


def test_the_tables_show_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    show(Report("a machine", [COST], [Freshness("iceberg", 5, 1.0, 2.0, 3.0)]), Console(width=160))
    shown = capsys.readouterr().out
    assert "125,000" in shown
    assert "other 62%" in shown
