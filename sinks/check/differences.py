"""Which rows differ, and in which fields: the answer behind a digest that does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import polars as pl

from olist.contracts import Contract
from sinks.check import canonical

Kind = Literal["missing", "extra", "different", "doubled"]

FOUND = "_found"


@dataclass(frozen=True)
class Difference:
    """One key. `fields` holds (expected, found) of the fields that differ; `rows` how often the target has the key."""

    kind: Kind
    key: dict[str, Any]
    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    rows: int = 1


def differences(contract: Contract, expected: pl.DataFrame, found: pl.DataFrame, most: int) -> tuple[Difference, ...]:
    """The first differing keys, in key order within each kind; no more than `most` of all."""
    kinds = (_doubled, _missing, _extra, _different)
    return tuple(islice((one for kind in kinds for one in kind(contract, expected, found, most)), most))


def _doubled(contract: Contract, _expected: pl.DataFrame, found: pl.DataFrame, most: int) -> Iterator[Difference]:
    """Keys that the target has more than once."""
    key = list(contract.key)
    counted = found.group_by(key).len(name=FOUND).filter(pl.col(FOUND) > 1).sort(key).head(most)
    for row in counted.iter_rows(named=True):
        yield Difference("doubled", {name: row[name] for name in key}, rows=row[FOUND])


def _missing(contract: Contract, expected: pl.DataFrame, found: pl.DataFrame, most: int) -> Iterator[Difference]:
    for row in _without(contract, expected, found, most):
        yield Difference("missing", *_split(contract, row), rows=0)


def _extra(contract: Contract, expected: pl.DataFrame, found: pl.DataFrame, most: int) -> Iterator[Difference]:
    for row in _without(contract, found, expected, most):
        key, fields = _split(contract, row)
        yield Difference("extra", key, {name: (held, there) for name, (there, held) in fields.items()})


def _different(contract: Contract, expected: pl.DataFrame, found: pl.DataFrame, most: int) -> Iterator[Difference]:
    """Keys on both sides whose rows are not the same to the letter."""
    key, names = list(contract.key), [column.name for column in contract.columns]
    both = _with_texts(contract, expected).join(_with_texts(contract, found), on=key, suffix=FOUND)
    unlike = pl.any_horizontal(pl.col(_text(n)).ne_missing(pl.col(_text(n) + FOUND)) for n in names)
    for row in both.filter(unlike).sort(key).head(most).iter_rows(named=True):
        changed = [n for n in names if row[_text(n)] != row[_text(n) + FOUND]]
        yield Difference("different", {n: row[n] for n in key}, {n: (row[n], row[n + FOUND]) for n in changed})


def _without(contract: Contract, here: pl.DataFrame, there: pl.DataFrame, most: int) -> Iterator[dict[str, Any]]:
    """Rows whose key is only here."""
    key = list(contract.key)
    return here.join(there, on=key, how="anti").sort(key).head(most).iter_rows(named=True)


def _split(contract: Contract, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[Any, Any]]]:
    """A row's key, and its other fields as (there, not there)."""
    rest = [column.name for column in contract.columns if column.name not in contract.key]
    return {name: row[name] for name in contract.key}, {name: (row[name], None) for name in rest}


def _with_texts(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows, and beside each column its exact text: a float that equals another may differ in its bits."""
    values: Sequence[str] = [column.name for column in contract.columns]
    return frame.select(*values, *(canonical.cell(c).alias(_text(c.name)) for c in contract.columns))


def _text(name: str) -> str:
    return f"_text_{name}"
