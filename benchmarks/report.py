"""What was measured, as tables for people or JSON for machines."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.freshness import Freshness
from benchmarks.sinks import Cost


def machine() -> str:
    """What the figures were measured on."""
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return f"{cores} cores, {memory:.0f} GB of memory, load {load:.1f} before the run"


class Report(msgspec.Struct):
    """All figures of one run."""

    machine: str
    costs: list[Cost] = []
    freshness: list[Freshness] = []


def show(report: Report, console: Console) -> None:
    """Print the tables."""
    console.print(report.machine)
    console.print(_costs(report.costs))
    if report.freshness:
        console.print(_ages(report.freshness))


def _costs(costs: Iterable[Cost]) -> Table:
    shown = Table("", box=None)
    for heading in ("changes", "changes/s/core", "CPU us", "share of the CPU by stage"):
        shown.add_column(heading, justify="left" if heading.startswith("share") else "right")
    for cost in costs:
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in cost.shares.items())
        shown.add_row(
            cost.name, f"{cost.changes:,}", f"{cost.per_core:,.0f}", f"{cost.micros:.2f}", shares or cost.note
        )
    return shown


def _ages(found: Iterable[Freshness]) -> Table:
    shown = Table("from record to readable row", box=None)
    for heading in ("records", "p50 ms", "p99 ms", "worst ms"):
        shown.add_column(heading, justify="right")
    for age in found:
        figures = (age.p50_ms, age.p99_ms, age.worst_ms)
        shown.add_row(age.target, f"{age.records:,}", *(f"{figure:,.0f}" for figure in figures))
    return shown


def as_json(report: Report) -> str:
    """One object; each cost with its rates and shares."""
    costs = [
        msgspec.to_builtins(cost)
        | {"changes_per_s_core": round(cost.per_core), "cpu_us": round(cost.micros, 3)}
        | {"shares": {stage: round(share, 4) for stage, share in cost.shares.items()}}
        for cost in report.costs
    ]
    return msgspec.json.encode(msgspec.to_builtins(report) | {"costs": costs}).decode()
