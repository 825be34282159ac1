"""Compiled plans are made once, and never taken for another's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from olist.settings import Settings
from stream_apps import catalogue
from stream_apps.app import FlinkApp
from stream_apps.apps import sales_by_hour
from stream_apps.flink import job as jobs
from stream_apps.flink import plan_cache
from stream_apps.flink.ddl import statements
from stream_apps.flink.job import compile_plan, encode, job_of
from stream_apps.flink.plan_cache import cached, without_places
from tests.golden.apps import plan_of

APP = sales_by_hour.APP


class Compiler:
    """Stands for PyFlink: counts, and makes a plan that says which it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.made, self.folder = 0, folder
        self.settings = Settings(cache=folder / "cache", home=folder, kafka="one:9092")
        monkeypatch.setattr(jobs, "_compiled", self._compiled)
        monkeypatch.setattr(jobs, "flink_environment", lambda _settings: SimpleNamespace(version="2.2.1"))

    def _compiled(self, *_: object, **__: object) -> bytes:
        self.made += 1
        return b'{"nodes":[],"edges":[],"number":%d}' % self.made

    def plan(self, app: FlinkApp = APP, generation: str = "", **different: object) -> bytes:
        settings = self.settings.model_copy(update=different)
        job, plan = self.folder / "job.json", self.folder / "plan.json"
        job.write_bytes(encode(job_of(settings, app, generation)))
        compile_plan(settings, job, plan)
        return plan.read_bytes()


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    return Compiler(monkeypatch, tmp_path)


def test_a_plan_is_compiled_once_whatever_kafka_group_or_generation_it_is_for(compiler: Compiler) -> None:
    first = compiler.plan()
    assert compiler.plan(kafka="another:9092") == compiler.plan(generation="g2") == first
    assert compiler.made == 1


def test_whatever_the_compilation_depends_on_makes_another_plan(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = [compiler.plan(), compiler.plan(topic_prefix="other.public")]  # it is spelt in every envelope
    plans.append(compiler.plan(replace(APP, select=f"{APP.select} -- the same")))
    plans.append(compiler.plan(replace(APP, reads=APP.reads[:-1], state_ttl={})))
    monkeypatch.setattr(jobs, "OPTIONS", {**jobs.OPTIONS, "table.exec.mini-batch.size": "1"})
    plans.append(compiler.plan())
    driver = compiler.folder / "driver.py"
    driver.write_text("other")
    monkeypatch.setattr(jobs, "DRIVER", driver)
    plans.append(compiler.plan())
    monkeypatch.setattr(jobs, "locked", lambda _section: ())
    plans.append(compiler.plan())
    monkeypatch.setattr(jobs, "flink_environment", lambda _settings: SimpleNamespace(version="2.2.2"))
    plans.append(compiler.plan())
    assert compiler.made == len(set(plans)) == len(plans) == 8


FLINK_APPS = [app.name for app in catalogue.apps().values() if isinstance(app, FlinkApp)]


@pytest.mark.parametrize("name", FLINK_APPS)
def test_a_plan_of_flinks_names_its_tables_and_holds_nothing_else_of_them(name: str) -> None:
    tables = [
        node[where]["table"]
        for node in msgspec.json.decode(plan_of(name))["nodes"]
        for where in ("scanTableSource", "dynamicTableSink")
        if where in node
    ]
    assert len(tables) > 1
    assert {tuple(table) for table in tables} == {("identifier",)}


@pytest.mark.parametrize("name", FLINK_APPS)
def test_what_is_compiled_says_nothing_of_where_tables_are(name: str) -> None:
    app = catalogue.apps()[name]
    assert isinstance(app, FlinkApp)
    here, there = (
        [without_places(one) for one in statements(Settings(kafka=kafka, topic_prefix=prefix), app, generation)]
        for kafka, prefix, generation in (("a:1", "p.q", ""), ("b:2", "r.s", "g2"))
    )
    assert here == there
    assert not [one for one in here if "a:1" in one or "'p.q" in one]


def test_the_plans_that_were_used_last_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_cache, "MOST_KEPT", 2)
    for number in (1, 2):
        cached(tmp_path, number, lambda number=number: b"%d" % number)  # type: ignore[misc]
        for path in tmp_path.iterdir():
            os.utime(path, (path.stat().st_mtime - 10,) * 2)
    assert cached(tmp_path, 1, lambda: b"anew") == b"1"
    cached(tmp_path, 3, lambda: b"3")
    assert cached(tmp_path, 1, lambda: b"anew") == b"1"
    assert cached(tmp_path, 2, lambda: b"anew") == b"anew"
