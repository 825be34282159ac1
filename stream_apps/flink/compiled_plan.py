"""Compiled plans: what their states are, for how long they are kept, and which state a new plan takes over. Pure.

A compiled plan is JSON: operators with ids, and edges. Flink finds an operator's state again by the operator's id, and
so restores whatever carries the same number: a plan with one more operator somewhere shifts them all. Here operators
are compared by what they mean instead, which is their own configuration and all that stands above them. State is
carried only where both agree, since sums that were made of something else do not become right by being restored.

Source: Flink 2.2, "Table API: compiled plans" and the JSON that it writes.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any

import msgspec

from stream_apps.engine import Verdict

# Operators that hold nothing between two records or checkpoints. Any other is taken to hold something.
STATELESS = frozenset(
    f"stream-exec-{name}"
    for name in (
        "calc",
        "exchange",
        "mini-batch-assigner",
        "union",
        "drop-update-before",
        "values",
        "expand",
        "correlate",
    )
)
SINK = "stream-exec-sink"
SCAN = "stream-exec-table-source-scan"
# What says nothing of a state's meaning: numbers, prose, how much is done at once.
UNMEANING = frozenset({"id", "description", "configuration", "inputProperties", "state"})
LONGEST_TOLD = 160


class Plan:
    """A compiled plan as a graph."""

    def __init__(self, text: bytes) -> None:
        self.json: dict[str, Any] = msgspec.json.decode(text)
        self.nodes: dict[int, dict[str, Any]] = {node["id"]: node for node in self.json["nodes"]}
        self.inputs: dict[int, list[int]] = defaultdict(list)
        for edge in self.json["edges"]:
            self.inputs[edge["target"]].append(edge["source"])

    def encode(self) -> bytes:
        """The plan's text, indented."""
        return msgspec.json.format(msgspec.json.encode(self.json), indent=2) + b"\n"

    @cached_property
    def meanings(self) -> dict[int, str]:
        """A digest per operator of what it and all above it do."""
        found: dict[int, str] = {}
        for number in self.nodes:
            self._meaning(number, found)
        return found

    def _meaning(self, number: int, found: dict[int, str]) -> str:
        if number not in found:
            own = {name: canonical(value) for name, value in self.nodes[number].items() if name not in UNMEANING}
            forgets = [state["ttl"] != "0 ms" for state in self.nodes[number].get("state", [])]
            above = [self._meaning(source, found) for source in self.inputs[number]]
            found[number] = sha256(msgspec.json.encode([own, forgets, above], order="sorted")).hexdigest()
        return found[number]

    @property
    def sink(self) -> int:
        """The operator that writes."""
        (number,) = (number for number, node in self.nodes.items() if kind(node) == SINK)
        return number

    def stateful(self) -> Iterator[int]:
        """The operators whose state must mean the same: all but the sink, which holds open transactions only.

        A sink that keeps rows as well counts as well.
        """
        for number, node in self.nodes.items():
            if kind(node) not in STATELESS and (kind(node) != SINK or node.get("state")):
                yield number

    def told(self, number: int) -> str:
        """An operator in Flink's words, shortened."""
        description = str(self.nodes[number]["description"])
        return description if len(description) <= LONGEST_TOLD else f"{description[:LONGEST_TOLD]}..."


def kind(node: Mapping[str, Any]) -> str:
    """An operator's type without its version."""
    return str(node["type"]).rpartition("_")[0]


def table_of(scan: Mapping[str, Any]) -> str:
    """The name of the table that a scan reads."""
    return str(scan["scanTableSource"]["table"]["identifier"]).split(".")[-1].strip("`")


def canonical(value: Any) -> Any:
    """A value of a plan with what has no order in an order: Flink writes the terms of an AND as it happens."""
    if isinstance(value, list):
        return [canonical(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {name: canonical(one) for name, one in value.items()}
    if re.fullmatch(r"\$(AND|OR)\$\d+", str(made.get("internalName", ""))):
        made["operands"].sort(key=lambda term: msgspec.json.encode(term, order="sorted"))
    return made


def carries(old: bytes, new: bytes) -> Verdict:
    """May a job of plan `new` go on from the state of a job of plan `old`? If not: the operators that differ."""
    before, after = Plan(old), Plan(new)
    gone, come = (_only_in(one, other) for one, other in ((before, after), (after, before)))
    if gone or come:
        lines = [f"- {before.told(n)}" for n in gone] + [f"+ {after.told(n)}" for n in come]
        return Verdict("state refused", "\n".join(lines))
    if before.meanings[before.sink] == after.meanings[after.sink]:
        return Verdict("restored", "both versions do the same")
    return Verdict("restored, old rows not rewritten", "only what is computed last differs, from the same state")


def continued(old: bytes, new: bytes) -> bytes:
    """Plan `new` with the operators of `old` called by their old numbers, so that they find their state.

    Of plans whose state is not carried nothing is changed.
    """
    if carries(old, new).road == "state refused":
        return new
    before, after = Plan(old), Plan(new)
    free = _by_meaning(before)
    numbers = {number: free[after.meanings[number]].pop(0) for number in after.stateful()}
    numbers[after.sink] = before.sink
    fresh = max([*before.nodes, *after.nodes])
    for number in after.nodes:
        if number not in numbers:
            fresh += 1
            numbers[number] = fresh
    for node in after.json["nodes"]:
        node["id"] = numbers[node["id"]]
    for edge in after.json["edges"]:
        edge["source"], edge["target"] = numbers[edge["source"]], numbers[edge["target"]]
    return after.encode()


def _only_in(one: Plan, other: Plan) -> list[int]:
    """The first operators of one plan, in its order, whose meaning the other has not; those below differ with them."""
    missing = Counter(one.meanings[number] for number in one.stateful())
    missing.subtract(other.meanings[number] for number in other.stateful())
    differ = {number for number in one.stateful() if missing[one.meanings[number]] > 0}
    return sorted(number for number in differ if not differ & _above(one, number))


def _above(plan: Plan, number: int) -> set[int]:
    found: set[int] = set()
    left = list(plan.inputs[number])
    while left:
        if (source := left.pop()) not in found:
            found.add(source)
            left += plan.inputs[source]
    return found


def _by_meaning(plan: Plan) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number in plan.stateful():
        found[plan.meanings[number]].append(number)
    return found
