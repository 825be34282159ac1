"""What a check keeps of a row: 58 bytes, whatever the row's size, on the disk and not in memory.

An entry has the key's fingerprint, the row's hash (`sinks.check.digest`), its day and where it came from. Entries are
spilled into buckets by the key's fingerprint, so that all of a key is in one bucket, and each bucket of the topic can
be compared alone with the same bucket of each target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl

from olist.batches import COMMITTED_AT, OFFSET, OP, PARTITION
from olist.contracts import Contract
from olist.lake.key_index import fingerprints
from sinks.check.digest import days_of, row_hashes

KEY = ["k0", "k1"]
HASH = ["h0", "h1"]
PLACE = ["partition", "offset"]
OPS = {op: ord(op) for op in "curd"}
DELETE = OPS["d"]
UNDECODABLE = 1  # flag: no reader takes the record
TOMBSTONE = 2  # flag: a delete without a value
FIRST_TARGET = 4  # flag: the first target refused it; the next one's is the next bit

ENTRY = np.dtype(
    [
        *((name, "u8") for name in (*KEY, *HASH)),
        ("offset", "i8"),
        ("committed", "i8"),
        ("partition", "i4"),
        ("day", "i4"),
        ("op", "u1"),
        ("flags", "u1"),
    ]
)
ENTRIES_IN_A_BUCKET = 1 << 16
MOST_BUCKETS = 256

Entries = npt.NDArray[np.void]


def entries(contract: Contract, frame: pl.DataFrame) -> Entries:
    """An entry for each row of a frame with the contract's columns; columns that say where it came from may lack."""
    made = np.zeros(frame.height, dtype=ENTRY)
    made["k0"], made["k1"] = fingerprints(frame, contract.key).T
    made["h0"], made["h1"] = row_hashes(contract, frame).T
    made["day"] = days_of(contract, frame).to_numpy()
    if PARTITION in frame.columns:
        made["partition"] = _filled(frame[PARTITION], -1)
        made["offset"] = _filled(frame[OFFSET], -1)
        made["committed"] = _filled(frame[COMMITTED_AT].dt.epoch("us"), np.iinfo(np.int64).min)
    if OP in frame.columns:
        made["op"] = frame[OP].replace_strict(OPS, default=0, return_dtype=pl.UInt8).to_numpy()
    return made


def _filled(column: pl.Series, null: int) -> npt.NDArray[Any]:
    return column.fill_null(null).to_numpy()


def buckets_for(rows: int) -> int:
    """How many buckets so many rows ask for."""
    return min(MOST_BUCKETS, max(1, -(-rows // ENTRIES_IN_A_BUCKET)))


@dataclass
class Spill:
    """One table's entries in a folder, by bucket, in the order in which they came."""

    folder: Path
    buckets: int
    rows: int = 0
    _files: list[BinaryIO] = field(default_factory=list)

    def add(self, some: Entries) -> None:
        """Keep entries."""
        self._open()
        self.rows += len(some)
        if self.buckets == 1:
            self._files[0].write(some.tobytes())
            return
        bucket = (some["k0"] % np.uint64(self.buckets)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(self.buckets + 1))
        ordered = some[order]
        for number, file in enumerate(self._files):
            file.write(ordered[ends[number] : ends[number + 1]].tobytes())

    def bucket(self, number: int) -> pl.DataFrame:
        """All entries of a bucket."""
        self.close()
        path = self._path(number)
        found = np.fromfile(path, dtype=ENTRY) if path.exists() else np.empty(0, dtype=ENTRY)
        return pl.DataFrame({name: np.ascontiguousarray(found[name]) for name in ENTRY.names or ()})

    def __iter__(self) -> Iterator[pl.DataFrame]:
        return (self.bucket(number) for number in range(self.buckets))

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        for number in range(self.buckets):
            self._path(number).unlink(missing_ok=True)
        self.rows = 0

    def close(self) -> None:
        """Write out what is buffered."""
        for file in self._files:
            file.close()
        self._files = []

    def _open(self) -> None:
        if not self._files:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files = [self._path(number).open("ab") for number in range(self.buckets)]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.entries"
