"""A report as JSON: digests in hex, days and values as text, absent things left out."""

from __future__ import annotations

from typing import Any

from sinks.check.digest import Count
from sinks.check.report import Finding, Report, TableReport


def facts(report: Report) -> dict[str, Any]:
    """The whole report, as an object of JSON."""
    of_all = {"equal": report.equal, "exit_code": report.exit_code, "refused_rows": report.refused_rows}
    return of_all | {"tables": [_table(one) for one in report.tables]}


def _table(one: TableReport) -> dict[str, Any]:
    return {
        "table": one.table,
        "topic": one.topic,
        "records": one.records,
        "live": _count(one.live),
        "undecodable": one.undecodable,
        "undecodable_records": one.undecodable_records,
        "unknown": one.unknown,
        "notes": one.notes,
        "findings": [_finding(finding) for finding in one.findings],
    }


def _finding(one: Finding) -> dict[str, Any]:
    facts = {"target": one.target, "state": one.state, "expected": _count(one.expected), "found": _count(one.found)}
    optional = {
        "lag": one.lag,
        "refused": one.refused,
        "refused_rows": one.refused_rows,
        "unjudged": one.unjudged,
        "note": one.note,
        "counts": dict(one.counts),
        "defects": one.defects,
        "days": [{"day": d.day, "expected": _count(d.expected), "found": _count(d.found)} for d in one.days],
        "differences": one.differences,
    }
    return facts | {name: value for name, value in optional.items() if value}


def _count(count: Count) -> dict[str, Any]:
    return {"rows": count.rows, "digest": str(count)}
