"""Digests of tables that do not depend on the order of rows, per day and in all.

A row's hash is the 128-bit xxh3 of its canonical text; a digest is the sum of the hashes modulo 2^128. A sum, unlike an
exclusive or, counts a row that is there twice. It tells damage, not malice: sums of hashes can be forged on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
from xxhash import xxh3_128_digest

from olist.contracts import Contract
from sinks.check import canonical

MODULUS = 1 << 128
WORD = pl.lit(1 << 32, dtype=pl.UInt64)
NO_DAY = -(1 << 31)
EPOCH = date(1970, 1, 1)

Day = date | None  # None: the table has no event time, or the row has none


@dataclass(frozen=True)
class Count:
    """So many rows with this sum of hashes."""

    rows: int = 0
    digest: int = 0

    def __str__(self) -> str:
        return f"{self.digest:032x}"

    def __add__(self, other: Count) -> Count:
        return Count(self.rows + other.rows, (self.digest + other.digest) % MODULUS)


@dataclass(frozen=True)
class Digest:
    """A table, by day of its event time."""

    days: Mapping[Day, Count] = field(default_factory=dict)

    @property
    def whole(self) -> Count:
        """All days together."""
        return sum(self.days.values(), Count())

    def __add__(self, other: Digest) -> Digest:
        """Both tables together."""
        days = self.days.keys() | other.days.keys()
        return Digest({on: self.days.get(on, Count()) + other.days.get(on, Count()) for on in days})


@dataclass(frozen=True)
class DayDifference:
    """A day on which two digests differ."""

    day: Day
    expected: Count
    found: Count


def row_hashes(contract: Contract, frame: pl.DataFrame) -> npt.NDArray[np.uint64]:
    """The hash of each row, as its upper and its lower half: shape (rows, 2)."""
    texts = frame.select(canonical.row(contract).cast(pl.Binary)).to_series().to_list()
    hashes = b"".join([xxh3_128_digest(text) for text in texts])
    return np.frombuffer(hashes, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def days_of(contract: Contract, frame: pl.DataFrame) -> pl.Series:
    """Days since 1970 of each row's event time; `NO_DAY` where there is none."""
    if contract.event_time is None:
        return pl.Series([NO_DAY], dtype=pl.Int32).new_from_index(0, frame.height)
    return frame[contract.event_time].dt.date().to_physical().fill_null(NO_DAY)


def digest_of(entries: pl.DataFrame) -> Digest:
    """The digest of entries (columns ``h0``, ``h1``, ``day``)."""
    if entries.is_empty():
        return Digest()
    # Sums of 32 bits at a time cannot overflow 64 before four billion rows.
    parts = [part for half in (pl.col("h0"), pl.col("h1")) for part in (half // WORD, half % WORD)]
    sums = entries.group_by("day").agg(pl.len(), *(part.sum().alias(f"s{at}") for at, part in enumerate(parts)))
    days = {}
    for day, rows, *of_parts in sums.iter_rows():
        total = sum(part << 32 * (3 - at) for at, part in enumerate(of_parts))
        days[None if day == NO_DAY else EPOCH + timedelta(days=day)] = Count(rows, total % MODULUS)
    return Digest(days)


def digest(contract: Contract, frame: pl.DataFrame) -> Digest:
    """The digest of rows with the contract's columns, exact to the letter."""
    hashes = row_hashes(contract, frame)
    return digest_of(pl.DataFrame({"day": days_of(contract, frame), "h0": hashes[:, 0], "h1": hashes[:, 1]}))


def differing_days(expected: Digest, found: Digest) -> tuple[DayDifference, ...]:
    """The days whose counts or digests differ, in order; rows without a day last."""
    days = sorted(expected.days.keys() | found.days.keys(), key=lambda on: (on is None, on or date.min))
    pairs = ((on, expected.days.get(on, Count()), found.days.get(on, Count())) for on in days)
    return tuple(DayDifference(on, ours, theirs) for on, ours, theirs in pairs if ours != theirs)
