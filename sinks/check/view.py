"""A report as a table on a terminal, and the lines beneath it that say what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.markup import escape
from rich.table import Table

from sinks.check.explanation import Difference
from sinks.check.report import Finding, Report, State

COLOURS: dict[State, str] = {
    "equal": "green",
    "different": "bold red",
    "absent": "bold red",
    "broken": "bold red",
    "behind": "yellow",
    "moving": "yellow",
    "stalled": "yellow",
    "unreachable": "yellow",
}
# What is wrong, by kind: rows that differ, then defects beside the rows' values.
WRONG_BY = {
    "doubled": "doubled",
    "missing": "missing",
    "extra": "extra",
    "different": "different",
    "bounds": "untrue of files",
    "geo": "wrong points",
    "id": "wrong ids",
    "index": "other indices",
}
DIGITS = 12  # of a digest; all 32 are in the JSON
SHOWN_CHARS = 80
SHOWN_REASONS = 5


def report_table(report: Report) -> Table:
    """One row per table: the topic's live rows and digest, then what each target holds."""
    targets = list(dict.fromkeys(finding.target for finding in report.findings))
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("table", no_wrap=True)
    table.add_column("records", justify="right")
    table.add_column("rows", justify="right")
    table.add_column("digest", no_wrap=True)
    for target in targets:
        table.add_column(target, no_wrap=True)
    for one in report.tables:
        by_target = {finding.target: finding for finding in one.findings}
        cells = [cell(by_target[target]) if target in by_target else "[dim]not taken[/]" for target in targets]
        live = (f"{one.records:,}", f"{one.live.rows:,}", str(one.live)[:DIGITS])
        table.add_row(one.table, *live, *cells)
    return table


def cell(finding: Finding) -> str:
    """One target's rows and state, in its colour."""
    said: str = finding.state
    if finding.state == "different":
        said = ", ".join(f"{count:,} {WRONG_BY[kind]}" for kind, count in finding.counts.items())
    if finding.lag:
        said = f"behind by {finding.lag:,}" if finding.state == "behind" else f"{said}, behind by {finding.lag:,}"
    if finding.refused_rows:
        said += f", {finding.refused_rows:,} refused"
    if finding.unjudged:
        said += f", {finding.unjudged:,} not judged"
    if finding.state in ("absent", "broken", "stalled", "unreachable"):
        return f"[{COLOURS[finding.state]}]{said}[/]"
    of_rows = f"{finding.found.rows:,}" + (" rows:" if finding.state == "different" else "")
    return f"{of_rows} [{COLOURS[finding.state]}]{said}[/]"


def remarks(report: Report) -> Iterator[str]:
    """What the table has no room for: why something could not be compared, what was refused, what is unknown."""
    yield from _notes(report)
    for table in report.tables:
        for finding in table.findings:
            for defect in finding.defects:
                yield f"[bold red]{table.table} in {finding.target}:[/] {escape(defect)}"
            yield from _reasons(f"{table.table} in {finding.target}: refused", finding.refused)
        yield from _reasons(f"{table.table}: no reader takes", table.undecodable, table.undecodable_records)
        for note in table.notes:
            yield f"[magenta]{table.table}:[/] {escape(note)}"
        if table.unknown:
            names = escape(", ".join(table.unknown))
            yield f"[magenta]{table.table}: fields that the contract does not know:[/] {names}"


def _notes(report: Report) -> Iterator[str]:
    """One line per reason, however many tables share it."""
    tables: dict[tuple[str, State, str], list[str]] = {}
    for table in report.tables:
        for one in table.findings:
            if one.note:
                tables.setdefault((one.target, one.state, one.note), []).append(table.table)
    for (target, state, note), names in tables.items():
        yield f"[{COLOURS[state]}]{target} {state}:[/] {', '.join(names)}: {escape(note)}"


def _reasons(what: str, reasons: tuple[str, ...], count: int = 0) -> Iterator[str]:
    for reason in reasons[:SHOWN_REASONS]:
        yield f"[magenta]{what}:[/] {escape(reason)}"
    if (more := max(count, len(reasons)) - SHOWN_REASONS) > 0:
        yield f"[magenta]{what}:[/] and {more:,} more"


def day_lines(report: Report) -> Iterator[str]:
    """The days whose digests differ."""
    for table in report.tables:
        for finding in table.findings:
            for one in finding.days:
                rows = f"{one.expected.rows:,} rows {str(one.expected)[:DIGITS]}"
                found = f"{one.found.rows:,} rows {str(one.found)[:DIGITS]}"
                day = "no day" if one.day is None else one.day.isoformat()
                yield f"{table.table} in {finding.target}, {day}: topic {rows}, {finding.target} {found}"


def difference_lines(report: Report) -> Iterator[str]:
    """The first differing keys, with both values of each field that differs."""
    for table in report.tables:
        for finding in table.findings:
            for one in finding.differences:
                yield f"{table.table} in {finding.target}: {_difference(one, finding.target)}"


def _difference(one: Difference, target: str) -> str:
    key = escape(", ".join(f"{name}={shown(value)}" for name, value in one.key.items()))
    match one.kind:
        case "missing":
            return f"[red]missing[/] {key}"
        case "extra":
            return f"[red]extra[/] {key}"
        case "doubled":
            return f"[red]doubled[/] {key}: {one.rows} rows"
        case "different":
            fields = (f"{n}: topic {shown(ours)}, {target} {shown(theirs)}" for n, (ours, theirs) in one.fields.items())
            return f"[red]different[/] {key}: {escape('; '.join(fields))}"


def shown(value: Any) -> str:
    """A value so that null, the empty text and line breaks can be told apart."""
    if value is None:
        return "null"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}... ({len(text)} characters)"


def verdict(report: Report) -> str:
    """The check in one line."""
    findings = report.findings
    equal = sum(finding.state == "equal" for finding in findings)
    if report.equal and report.refused_rows:
        return (
            f"[bold yellow]Equal but for what was refused:[/] {report.refused_rows:,} rows are not what their last "
            f"change says ({equal} comparisons, {len(report.tables)} tables)"
        )
    if report.equal:
        return f"[bold green]All equal:[/] {equal} comparisons, {len(report.tables)} tables"
    others = [f for f in findings if f.state != "equal"]
    counted = {state: sum(f.state == state for f in others) for state in COLOURS}
    listed = ", ".join(f"{count} {state}" for state, count in counted.items() if count)
    return f"[bold red]Not equal:[/] {listed}; {equal} of {len(findings)} equal"
