"""The latest row per key of a topic, kept as columns while the topic goes by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
from xxhash import xxh3_64_intdigest

from olist.batches import OFFSET, OP, PARTITION, Batch, Record, frame_schema
from olist.contracts import Contract

LEAST_ROWS_MERGED = 100_000


class Refused(NamedTuple):
    """A record that a target refused, by place and by what it holds: a re-created topic has other records there."""

    partition: int
    offset: int
    fingerprint: int


def fingerprint(record: Record) -> int:
    """64 bits of a record's key and value."""
    return xxh3_64_intdigest(repr((record.key(), record.value())).encode())


@dataclass(frozen=True)
class View:
    """A stretch of a topic: up to but without `end` per partition, less the records that a target refused."""

    end: tuple[tuple[int, int], ...]
    refused: frozenset[Refused] = frozenset()

    @classmethod
    def of(cls, end: Mapping[int, int], refused: Iterable[Refused] = ()) -> View:
        """A view; only refusals before the end matter."""
        within = frozenset(one for one in refused if one.offset < end.get(one.partition, 0))
        return cls(tuple(sorted(end.items())), within)

    def gone(self, records: Iterable[Record]) -> list[tuple[int, int]]:
        """The places of those records that are refused in this view."""
        if not self.refused:
            return []
        places = {(one.partition, one.offset): one.fingerprint for one in self.refused}
        within = ((r.partition(), r.offset(), r) for r in records if (r.partition(), r.offset()) in places)
        return [(p, offset) for p, offset, record in within if places[p, offset] == fingerprint(record)]


class Latest:
    """Takes changes in offset order per partition; holds at most about twice the live rows."""

    def __init__(self, contract: Contract, view: View) -> None:
        self.contract, self.view = contract, view
        self._end = dict(view.end)
        self._parts: list[pl.DataFrame] = [pl.DataFrame(schema=frame_schema(contract))]
        self._waiting = 0

    def take(self, batch: Batch, records: Sequence[Record]) -> None:
        """Records and their changes as `olist.batches.decode_batch` gives them."""
        frame = self._within(batch.frame, self.view.gone(records)).unique(
            subset=self.contract.key, keep="last", maintain_order=True
        )
        self._parts.append(frame)
        self._waiting += frame.height
        if self._waiting > max(LEAST_ROWS_MERGED, self._parts[0].height):
            self._merge()

    def rows(self) -> pl.DataFrame:
        """The live rows, without `OP`."""
        self._merge()
        return self._parts[0].drop(OP)

    def _within(self, frame: pl.DataFrame, gone: list[tuple[int, int]]) -> pl.DataFrame:
        end = pl.col(PARTITION).replace_strict(self._end, default=0, return_dtype=pl.Int64)
        frame = frame.filter(pl.col(OFFSET) < end)
        if not gone:
            return frame
        schema = {PARTITION: frame.schema[PARTITION], OFFSET: frame.schema[OFFSET]}
        refused = pl.DataFrame(gone, schema=schema, orient="row")
        return frame.join(refused, on=[PARTITION, OFFSET], how="anti", maintain_order="left")

    def _merge(self) -> None:
        """Later rows win; a delete has then done its work, since nothing older of its key is left."""
        merged = pl.concat(self._parts).unique(subset=self.contract.key, keep="last", maintain_order=True)
        self._parts, self._waiting = [merged.filter(pl.col(OP) != "d")], 0
