"""For how long a compiled plan's states are kept: each only as its tables' rows live. Pure.

One number for a whole job (`table.exec.state.ttl`) would forget the catalogue too. Here a state is forgotten when it is
about rows of a table that is named:

- the newest row per key of a topic: when the topic's table is named;
- a side of a join: when a named table feeds it, for what is on that side lives and dies with such a row;
- an aggregate: when it is grouped by a key column of a named table. Sums per seller or hour are kept, and so is what
  is made of them below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from stream_apps.flink.compiled_plan import SCAN, Plan, kind, table_of


class Remembered(msgspec.Struct, frozen=True):
    """How long idle rows of a table are remembered, in milliseconds, and the table's key columns."""

    ttl_ms: int
    key: tuple[str, ...]


def forgetting(plan: bytes, remembered: Mapping[str, Remembered]) -> bytes:
    """The plan with a time to live for each state that is about rows of these tables; by the names of its tables.

    A state that several of them feed is kept as long as the longest.
    """
    graph = Plan(plan)
    lives: dict[int, frozenset[str]] = {}
    for number, node in graph.nodes.items():
        for state in node.get("state", []):
            inputs = graph.inputs[number]
            about = inputs[state["index"]] if len(inputs) > 1 else number
            if tables := _about(graph, about, remembered, lives):
                state["ttl"] = f"{max(remembered[table].ttl_ms for table in tables)} ms"
    return graph.encode()


def _about(
    graph: Plan, number: int, remembered: Mapping[str, Remembered], found: dict[int, frozenset[str]]
) -> frozenset[str]:
    """The named tables with whose rows the rows that leave an operator live and die."""
    if number not in found:
        node = graph.nodes[number]
        if kind(node) == SCAN:
            found[number] = frozenset({table_of(node)} & remembered.keys())
        else:
            above = (_about(graph, source, remembered, found) for source in graph.inputs[number])
            tables = frozenset[str]().union(*above)
            found[number] = tables if _keeps_rows_apart(graph, number, tables, remembered) else frozenset()
    return found[number]


def _keeps_rows_apart(graph: Plan, number: int, tables: Iterable[str], remembered: Mapping[str, Remembered]) -> bool:
    """False for an aggregate over rows of many keys."""
    node = graph.nodes[number]
    if "grouping" not in node:
        return True
    names = _names(str(graph.nodes[graph.inputs[number][0]]["outputType"]))
    keys = {name for table in tables for name in remembered[table].key}
    return not keys.isdisjoint(names[position] for position in node["grouping"])


def _names(row_type: str) -> list[str]:
    """The names of a ROW's fields, those of rows within it left out."""
    inner, flat = row_type.removeprefix("ROW<"), ""
    depth = 0
    for character in inner:
        depth += (character == "<") - (character == ">")
        flat += character if depth == 0 else ""
    return re.findall(r"`([^`]+)`", flat)
