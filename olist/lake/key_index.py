"""The key index: key -> (data file, row position), exact and vectorised, about 40 bytes a key.

An open-addressing hash table in three NumPy columns. A key is kept as its 128-bit fingerprint (XXH3 with a seed of this
process): among a billion keys two share one with a chance of 10^-21. Look-ups and updates take whole batches; each
round of linear probing settles most of the batch at once.

`KeyIndex`'s public methods are all that `row_locations` asks of it, none of them key by key: an index that lies on disk
has to offer the same, with a seed that outlives the process.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

ROW_BITS = 36  # a file holds at most 2^36 rows, an index at most 2^27 files
FREE = -1
DELETED = -2
SEED = secrets.randbits(64)
MAX_LOAD = 0.6


def fingerprints(frame: pl.DataFrame, key: tuple[str, ...]) -> U64:
    """128-bit fingerprints of the key columns: shape (rows, 2)."""
    if frame.is_empty():
        return np.empty((0, 2), dtype=np.uint64)
    # Lengths make the concatenation one-to-one: ("a", "bc") and ("ab", "c") must differ.
    texts = [pl.col(name).cast(pl.String) for name in key]
    parts = [part for text in texts for part in (text.str.len_bytes().cast(pl.String), pl.lit(":"), text)]
    joined = frame.select(pl.concat_str(parts).cast(pl.Binary)).to_series().to_list()
    digest = xxhash.xxh3_128_digest
    raw = b"".join([digest(text, SEED) for text in joined])
    return np.frombuffer(raw, dtype=np.uint64).reshape(-1, 2)


class Rewrite:
    """Moves locations from rewritten files to the files that hold their rows now, whole batches at once.

    `to` has per old file number the new location of each of its rows (`FREE`: the row is in no file any more).
    """

    def __init__(self, to: Mapping[int, I64]) -> None:
        self.old = tuple(to)
        self._every = np.concatenate([*to.values(), np.empty(0, dtype=np.int64)])
        self._starts = np.full(max(to, default=-1) + 2, FREE, dtype=np.int64)  # the last stands for files beyond
        self._starts[list(to)] = np.cumsum([0, *(len(rows) for rows in to.values())])[:-1]

    def translate(self, locations: I64) -> I64:
        """The locations with those in old files replaced."""
        numbers, rows = unpack(locations)
        starts = self._starts[np.minimum(numbers, len(self._starts) - 1)]
        moved = locations.copy()
        here = starts != FREE
        moved[here] = self._every[starts[here] + rows[here]]
        return moved


class KeyIndex:
    """Key -> packed location; a location packs (file number, row) into one int64."""

    def __init__(self, capacity: int = 1 << 12) -> None:
        self._allocate(capacity)
        self.files: list[str] = []
        self._numbers: dict[str, int] = {}
        self._spare: list[int] = []  # numbers of files that are gone

    def __len__(self) -> int:
        return self._live

    @property
    def nbytes(self) -> int:
        """Bytes of the table's columns."""
        return self._high.nbytes + self._low.nbytes + self._where.nbytes

    def file_number(self, path: str) -> int:
        """The number of a data file, given on first sight."""
        number = self._numbers.get(path)
        if number is None and self._spare:
            number = self._numbers[path] = self._spare.pop()
            self.files[number] = path
        elif number is None:
            number = self._numbers[path] = len(self.files)
            self.files.append(path)
        return number

    def numbers(self, paths: Iterable[str]) -> dict[str, int]:
        """The numbers of those data files that the index knows."""
        return {path: self._numbers[path] for path in paths if path in self._numbers}

    def follow(self, rewrite: Rewrite) -> bool:
        """Point every row of the rewritten files at where it is now, and let their numbers go.

        False, and nothing is changed: the rewrite dropped a row that is live here.
        """
        live = np.flatnonzero(self._where >= 0)
        moved = rewrite.translate(self._where[live])
        if FREE in moved:
            return False
        self._where[live] = moved
        for path in [self.files[number] for number in rewrite.old]:
            self._spare.append(self._numbers.pop(path))
        return True

    def locate(self, keys: U64) -> I64:
        """Packed location of each key, or `FREE` where the index has none."""
        _slots, where = self._probe(keys)
        return np.where(where >= 0, where, FREE)

    def put(self, keys: U64, locations: I64) -> None:
        """Set the location of each key. Keys are distinct within a call."""
        self._reserve(len(keys))
        slots, where = self._probe(keys)
        known = where != FREE
        self._where[slots[known]] = locations[known]
        self._live += int(np.count_nonzero(where == DELETED))
        self._insert(keys[~known], locations[~known])

    def remove(self, keys: U64) -> None:
        """Forget keys; unknown ones are no error."""
        slots, where = self._probe(keys)
        live = where >= 0
        self._where[slots[live]] = DELETED
        self._live -= int(np.count_nonzero(live))

    def _allocate(self, capacity: int) -> None:
        self._high = np.zeros(capacity, dtype=np.uint64)
        self._low = np.zeros(capacity, dtype=np.uint64)
        self._where = np.full(capacity, FREE, dtype=np.int64)
        self._mask = np.uint64(capacity - 1)
        self._used = self._live = 0  # used counts deleted slots too: they lengthen probes until the next rehash

    def _probe(self, keys: U64) -> tuple[I64, I64]:
        """Per key: the slot that holds it or the first free one, and what that slot says."""
        slots = (keys[:, 0] & self._mask).astype(np.int64)
        where = self._where[slots]
        pending = np.flatnonzero((where != FREE) & ~self._matches(slots, keys))
        while len(pending):
            slots[pending] = (slots[pending] + 1) & int(self._mask)
            here = slots[pending]
            where[pending] = self._where[here]
            pending = pending[(where[pending] != FREE) & ~self._matches(here, keys[pending])]
        return slots, where

    def _matches(self, slots: I64, keys: U64) -> npt.NDArray[np.bool_]:
        same: npt.NDArray[np.bool_] = (self._high[slots] == keys[:, 0]) & (self._low[slots] == keys[:, 1])
        return same

    def _insert(self, keys: U64, locations: I64) -> None:
        """Claim free slots for new keys. Of two that want one slot the last writer wins, the other probes on."""
        while len(keys):
            slots, _where = self._probe(keys)
            self._high[slots], self._low[slots], self._where[slots] = keys[:, 0], keys[:, 1], locations
            won = self._matches(slots, keys)
            claimed = int(np.count_nonzero(won))
            self._used += claimed
            self._live += claimed
            keys, locations = keys[~won], locations[~won]

    def _reserve(self, more: int) -> None:
        """Grow, or rehash in place when deleted slots fill the table."""
        if self._used + more <= MAX_LOAD * len(self._where):
            return
        live = self._where >= 0
        keys = np.column_stack((self._high[live], self._low[live]))
        locations = self._where[live]
        capacity = len(self._where)
        while len(keys) + more > MAX_LOAD * capacity:
            capacity *= 2
        self._allocate(capacity)
        self._insert(keys, locations)


def pack(file_number: int | I64, rows: I64) -> I64:
    """(file number, row) -> location."""
    packed: I64 = (np.asarray(file_number, dtype=np.int64) << ROW_BITS) | rows
    return packed


def unpack(locations: I64) -> tuple[I64, I64]:
    """Location -> (file number, row)."""
    return locations >> ROW_BITS, locations & ((1 << ROW_BITS) - 1)
