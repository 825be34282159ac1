"""Which fields of the first differing keys differ: a second look at those keys, in the topic and in the target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from olist.batches import COMMITTED_AT, META, OFFSET, OP, PARTITION, decode_batch
from olist.contracts import Contract
from olist.lake.key_index import fingerprints
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.reader import read
from sinks.check import canonical
from sinks.check.comparison import KINDS, Differing, Kind

Place = tuple[int, int]
Key = tuple[int, int]


@dataclass(frozen=True)
class Difference:
    """One key. `fields` holds (expected, found) of the fields that differ; `rows` how often the target has the key."""

    kind: Kind
    key: dict[str, Any]
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    rows: int = 1


@dataclass(frozen=True)
class _Row:
    """A row's values, and the exact text of each: a float that equals another may differ in its bits."""

    values: Mapping[str, Any]
    texts: Mapping[str, str | None]


def explain(
    contract: Contract,
    first: Sequence[Differing],
    topic: Callable[[Iterable[Place]], Iterator[pl.DataFrame]],
    target: Callable[[], Iterator[pl.DataFrame]],
    most: int,
    *,
    history: bool = False,
) -> tuple[Difference, ...]:
    """The first differing keys with their values; no more than `most` of all, kind by kind.

    `topic` gives the changes at some places, `target` all of the target's rows once more. A key that is as it should be
    by now is left out.
    """
    wanted = [one for kind in KINDS for one in first if one.kind == kind][:most]
    if not wanted:
        return ()
    expected = _rows(contract, topic(one.expected_at for one in wanted if one.expected_at), by_place=True)
    found = _rows(contract, target(), {one.key for one in wanted}, by_place=history)
    made = (_difference(contract, one, expected, found, history=history) for one in wanted)
    return tuple(one for one in made if one is not None)


def changes_at(
    contract: Contract, state: TopicState, settings: Settings
) -> Callable[[Iterable[Place]], Iterator[pl.DataFrame]]:
    """Reads the changes at single places of a topic."""

    def fetch(places: Iterable[Place]) -> Iterator[pl.DataFrame]:
        left = sorted(set(places))
        while left:
            now = dict(reversed(left))  # one of each partition at a time
            left = [place for place in left if now[place[0]] != place[1]]
            for records in read(settings, state.topic, now, {p: offset + 1 for p, offset in now.items()}):
                yield decode_batch(contract, state.topic, records, len(state.end)).frame

    return fetch


def _rows(
    contract: Contract, frames: Iterator[pl.DataFrame], keys: set[Key] | None = None, *, by_place: bool
) -> dict[tuple[int, ...], _Row]:
    """Rows by fingerprint (and place), those of some keys alone if these are given."""
    found: dict[tuple[int, ...], _Row] = {}
    for frame in frames:
        prints = list(map(tuple, fingerprints(frame, contract.key).tolist()))
        here = [at for at, key in enumerate(prints) if keys is None or key in keys]
        texts = frame[here].select(
            *(canonical.cell(column) for column in contract.columns),
            *(pl.col(name).cast(pl.String) for name in META if name in frame.columns),
        )
        for at, values, text in zip(here, frame[here].iter_rows(named=True), texts.iter_rows(named=True), strict=True):
            place = (values[PARTITION], values[OFFSET]) if by_place else ()
            found[prints[at] + place] = _Row(values, text)
    return found


def _difference(
    contract: Contract,
    one: Differing,
    expected: Mapping[tuple[int, ...], _Row],
    found: Mapping[tuple[int, ...], _Row],
    *,
    history: bool,
) -> Difference | None:
    ours = expected.get(one.key + one.expected_at) if one.expected_at else None
    place = one.found_at or one.expected_at
    theirs = found.get(one.key + place if history and place else one.key)
    some = ours or theirs
    if some is None:
        return None
    key = {name: some.values[name] for name in (*contract.key, *((PARTITION, OFFSET) if history else ()))}
    if one.kind == "doubled":
        return Difference(one.kind, key, rows=one.rows)
    names = [n for n in (*(c.name for c in contract.columns), *META) if n not in key and (history or n != OP)]
    if ours is None or theirs is None:
        names = [name for name in names if name not in (OP, PARTITION, OFFSET, COMMITTED_AT)]
    fields = {n: (_value(ours, n), _value(theirs, n)) for n in names if _differs(ours, theirs, n)}
    if one.kind == "different" and not fields:
        return None
    return Difference(one.kind, key, fields, rows=0 if one.kind == "missing" else 1)


def _value(row: _Row | None, name: str) -> Any:
    return row.values.get(name) if row else None


def _differs(ours: _Row | None, theirs: _Row | None, name: str) -> bool:
    if ours is None or theirs is None:
        return True
    if name not in ours.texts or name not in theirs.texts:  # files do not say where their rows came from
        return False
    return ours.texts[name] != theirs.texts[name]
