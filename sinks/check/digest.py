"""Digests of tables that do not depend on the order of rows, per day and in all.

A row's hash is the 128-bit xxh3 of its canonical text; a digest is the sum of the hashes modulo 2^128. A sum, unlike an
exclusive or, counts a row that is there twice. It tells damage, not malice: sums of hashes can be forged on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date

import polars as pl
from xxhash import xxh3_128_intdigest

from olist.contracts import Contract
from sinks.check import canonical

MODULUS = 1 << 128

Day = date | None  # None: the table has no event time, or the row has none


@dataclass(frozen=True)
class Count:
    """So many rows with this sum of hashes."""

    rows: int = 0
    digest: int = 0

    def __str__(self) -> str:
        return f"{self.digest:032x}"


@dataclass(frozen=True)
class Digest:
    """A table, by day of its event time."""

    days: dict[Day, Count] = field(default_factory=dict)

    @property
    def whole(self) -> Count:
        """All days together."""
        counts = self.days.values()
        return Count(sum(count.rows for count in counts), sum(count.digest for count in counts) % MODULUS)


@dataclass(frozen=True)
class DayDifference:
    """A day on which two digests differ."""

    day: Day
    expected: Count
    found: Count


def digest(contract: Contract, frame: pl.DataFrame) -> Digest:
    """The digest of rows with the contract's columns, exact to the letter."""
    rows: dict[Day, int] = defaultdict(int)
    sums: dict[Day, int] = defaultdict(int)
    day = pl.col(contract.event_time).dt.date() if contract.event_time else pl.lit(None, dtype=pl.Date)
    texts = frame.select(day.alias("day"), canonical.row(contract).cast(pl.Binary).alias("text"))
    for on, text in zip(texts["day"].to_list(), texts["text"].to_list(), strict=True):
        rows[on] += 1
        sums[on] += xxh3_128_intdigest(text)
    return Digest({on: Count(count, sums[on] % MODULUS) for on, count in rows.items()})


def differing_days(expected: Digest, found: Digest) -> tuple[DayDifference, ...]:
    """The days whose counts or digests differ, in order; rows without a day last."""
    days = sorted(expected.days.keys() | found.days.keys(), key=lambda on: (on is None, on or date.min))
    pairs = ((on, expected.days.get(on, Count()), found.days.get(on, Count())) for on in days)
    return tuple(DayDifference(on, ours, theirs) for on, ours, theirs in pairs if ours != theirs)
