"""From rows to findings. Pure: everything that was read is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from olist.contracts import Contract
from olist.positions import TopicState
from sinks.check.differences import differences
from sinks.check.digest import differing_days, digest
from sinks.check.held import Held
from sinks.check.latest import Refused
from sinks.check.report import Finding

AHEAD = "rows are newer than the positions: it was written while it was read, or its sink ended between the two"


def judge(
    contract: Contract,
    target: str,
    expected: pl.DataFrame,
    held: Held,
    state: TopicState,
    *,
    refused: Mapping[Refused, str] | None = None,
    most: int = 0,
) -> Finding:
    """A target's rows against the topic's as far as the target stands; `most` differing keys are looked for.

    `state` has the ends that the check began with, from which `lag` is counted.
    """
    finding = compare(contract, target, expected, held.rows, most=most)
    told = tuple(f"{state.topic}[{one.partition}]@{one.offset}: {why}" for one, why in sorted((refused or {}).items()))
    finding = replace(finding, lag=lag(held, state), refused=told)
    if finding.state == "different" and held.torn(state.end):
        return replace(finding, state="moving", note=AHEAD)
    return replace(finding, state="behind") if finding.state == "equal" and finding.lag else finding


def compare(contract: Contract, target: str, expected: pl.DataFrame, found: pl.DataFrame, *, most: int = 0) -> Finding:
    """Two tables of the contract's columns, exact to the letter, in any order."""
    ours, theirs = digest(contract, expected), digest(contract, found)
    if ours == theirs:
        return Finding(target, "equal", ours.whole, theirs.whole)
    days, first = differing_days(ours, theirs), differences(contract, expected, found, most) if most else ()
    return Finding(target, "different", ours.whole, theirs.whole, days=days, differences=first)


def lag(held: Held, state: TopicState) -> int:
    """Offsets between the target's positions and the topic's end: no fewer than the records still to come."""
    stands = held.positions.next if held.positions else {}
    return sum(max(0, end - max(stands.get(p, 0), state.first[p])) for p, end in state.end.items())
