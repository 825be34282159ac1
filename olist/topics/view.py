"""Topics as tables on a terminal, and as plain facts for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from olist.contracts import Column, Contract, Float, Integer, ListOf, Money, Text, Timestamp
from olist.topics.broker import CLEANUP, RETENTION, Survey
from olist.topics.record_format import when

DAY_MS = 86_400_000


def topics_table(surveys: Iterable[Survey]) -> Table:
    """One row per topic."""
    table = _table("topic", "partitions>", "offsets>", "cleanup", "retention>", "last record")
    for survey in surveys:
        count = len(survey.state.end)
        kept = (survey.configs.get(CLEANUP, ""), retention(survey))
        table.add_row(survey.state.topic, str(count), f"{survey.offsets:,}", *kept, last(survey))
    return table


def partitions_table(survey: Survey) -> Table:
    """One row per partition."""
    table = _table("partition>", "first>", "end>", "leader>")
    for partition, end in sorted(survey.state.end.items()):
        leader = survey.leaders.get(partition)
        table.add_row(str(partition), str(survey.state.first[partition]), str(end), str(leader))
    return table


def configs_table(survey: Survey) -> Table:
    """The settings that are the topic's own rather than the broker's."""
    table = _table("setting that differs from the default", "value")
    for name, value in survey.own.items():
        table.add_row(name, value)
    return table


def columns_table(contract: Contract | None) -> Table:
    """The contract's columns; no rows without a contract."""
    table = _table("column", "type", "null", "key")
    for column in contract.columns if contract else ():
        in_key = "key" if contract and column.name in contract.key else ""
        table.add_row(column.name, type_name(column), "null" if column.nullable else "", in_key)
    return table


def facts(survey: Survey, contract: Contract | None = None, *, whole: bool = False) -> dict[str, Any]:
    """What `-o json` says of a topic; `whole` adds what `describe` shows."""
    state = survey.state
    short = {
        "topic": state.topic,
        "topic_id": state.topic_id,
        "partitions": len(state.end),
        "offsets": survey.offsets,
        CLEANUP: survey.configs.get(CLEANUP),
        RETENTION: survey.configs.get(RETENTION),
        "last_record": None if survey.last_ms is None else when(survey.last_ms),
    }
    if not whole:
        return short
    ends = sorted(state.end.items())
    each = [{"partition": p, "first": state.first[p], "end": e, "leader": survey.leaders.get(p)} for p, e in ends]
    columns = contract.columns if contract else ()
    named = [{"name": c.name, "type": type_name(c), "nullable": c.nullable} for c in columns]
    key = contract.key if contract else ()
    return short | {"partitions": each, "settings": dict(survey.own), "columns": named, "key": key}


def type_name(column: Column) -> str:
    """A column's type in a word."""
    match column.type:
        case Text(language=language):
            return f"text ({language})" if language else "text"
        case Integer(bits=bits):
            return f"integer ({bits} bits)"
        case Float():
            return "float"
        case Money(precision=precision, scale=scale):
            return f"money ({precision}, {scale})"
        case Timestamp():
            return "timestamp"
        case ListOf(columns=columns):
            return f"list of ({', '.join(f'{one.name} {type_name(one)}' for one in columns)})"


def retention(survey: Survey) -> str:
    """How long records stay; a topic that is only compacted keeps the last record of a key for ever."""
    kept = survey.configs.get(RETENTION, "")
    if "delete" not in survey.configs.get(CLEANUP, "") or kept == "-1":
        return "for ever"
    return f"{int(kept) / DAY_MS:g} d" if kept.isdigit() else kept


def last(survey: Survey) -> str:
    """The newest record's time."""
    return "-" if survey.last_ms is None else when(survey.last_ms)


def _table(*headers: str) -> Table:
    """A table without lines; a header that ends with ``>`` is a number's."""
    table = Table(box=None, header_style="bold")
    for header in headers:
        table.add_column(header.removesuffix(">"), justify="right" if header.endswith(">") else "left", no_wrap=True)
    return table
