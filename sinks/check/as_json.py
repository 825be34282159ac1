"""A report as JSON: digests in hex, days and values as text, absent things left out."""

from __future__ import annotations

from typing import Any

import msgspec

from sinks.check.digest import Count
from sinks.check.report import Finding, Report, TableReport


def report_json(report: Report) -> str:
    """The whole report as one JSON object."""
    facts = {"equal": report.equal, "exit_code": report.exit_code, "tables": [_table(one) for one in report.tables]}
    return msgspec.json.encode(facts, enc_hook=str).decode()


def _table(one: TableReport) -> dict[str, Any]:
    return {
        "table": one.table,
        "topic": one.topic,
        "records": one.records,
        "live": _count(one.live),
        "undecodable": one.undecodable,
        "unknown": one.unknown,
        "findings": [_finding(finding) for finding in one.findings],
    }


def _finding(one: Finding) -> dict[str, Any]:
    days = [{"day": d.day, "expected": _count(d.expected), "found": _count(d.found)} for d in one.days]
    told = {"lag": one.lag, "refused": one.refused, "note": one.note, "days": days, "differences": one.differences}
    facts = {"target": one.target, "state": one.state, "expected": _count(one.expected), "found": _count(one.found)}
    return facts | {name: value for name, value in told.items() if value}


def _count(count: Count) -> dict[str, Any]:
    return {"rows": count.rows, "digest": str(count)}
