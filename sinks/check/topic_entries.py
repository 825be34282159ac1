"""The topic's changes as entries: one reading for every target that is compared with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from olist.batches import OFFSET, PARTITION, Batch, Rejected, decode_batch, frame_schema
from olist.changes import MALFORMED, codec
from olist.contracts import Contract
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.reader import Consumed, read
from sinks.check.entries import DELETE, FIRST_TARGET, TOMBSTONE, UNDECODABLE, Entries, Spill, entries
from sinks.check.refusals import Refused

SHOWN = 100  # reasons of undecodable records, and names of unknown fields, that are kept

I64 = npt.NDArray[np.int64]


@dataclass
class TopicEntries:
    """What a topic says, in `spill`; and what cannot be said by key.

    `early` has the changes that set one of the columns `late`, as a history holds them that was written before it had
    those. `whole` is per partition the offset below which no offset lacks: nothing was cleaned away there. Everything
    below `first` is gone.
    """

    spill: Spill
    refused: Mapping[str, Refused]  # by target
    early: Spill | None = None
    late: frozenset[str] = frozenset()
    records: int = 0
    undecodable: int = 0
    keyless: int = 0  # of those, the ones whose key is none of the contract's
    reasons: list[str] = field(default_factory=list)  # of the first undecodable ones
    unknown: set[str] = field(default_factory=set)
    whole: dict[int, int] = field(default_factory=dict)
    first: Mapping[int, int] = field(default_factory=dict)
    _contiguous: dict[int, bool] = field(default_factory=dict)

    def flag(self, target: str) -> int:
        """The flag of entries that a target refused."""
        return FIRST_TARGET << list(self.refused).index(target)

    def take(self, contract: Contract, batch: Batch, records: Sequence[Consumed]) -> None:
        """Records in offset order per partition, and the batch that they decode to."""
        made = entries(contract, batch.frame)
        self._mark_refused(made, batch, records)
        _mark_tombstones(made, batch)
        self.spill.add(made)
        self._take_early(contract, batch.frame)
        self._take_undecodable(contract, batch.rejected)
        self.records += len(records)
        self.unknown.update(sorted(batch.unknown)[: max(0, SHOWN - len(self.unknown))])
        self._follow(batch)

    def _take_early(self, contract: Contract, frame: pl.DataFrame) -> None:
        names = [column.name for column in contract.columns if column.name in self.late]
        if self.early is None or not names:
            return
        changed = frame.filter(pl.any_horizontal(pl.col(names).is_not_null()))
        without = [pl.lit(None, dtype=frame.schema[name]).alias(name) for name in names]
        self.early.add(entries(contract, changed.with_columns(without)))

    def _mark_refused(self, made: Entries, batch: Batch, records: Sequence[Consumed]) -> None:
        if not any(refused.offsets for refused in self.refused.values()):
            return
        if len(made) < len(records):
            rejected = {id(one.record) for one in batch.rejected}
            records = [record for record in records if id(record) not in rejected]
        for target, refused in self.refused.items():
            marks = refused.marks(records, made["partition"], made["offset"])
            made["flags"][marks] |= self.flag(target)

    def _take_undecodable(self, contract: Contract, rejected: Sequence[Rejected]) -> None:
        """The key of a record that no reader takes may be readable; its row before it then stands in the targets."""
        if not rejected:
            return
        self.undecodable += len(rejected)
        self.reasons += [str(one.error) for one in rejected[: SHOWN - len(self.reasons)]]
        keys = [(one, key) for one in rejected if (key := _key(contract, one)) is not None]
        self.keyless += len(rejected) - len(keys)
        if keys:
            rows = [dict(zip(contract.key, key, strict=True)) for _one, key in keys]
            made = entries(contract, pl.DataFrame(rows, schema=_columns(contract)))
            made["partition"] = [one.error.partition for one, _key in keys]
            made["offset"] = [one.error.offset for one, _key in keys]
            made["flags"] = UNDECODABLE
            self.spill.add(made)

    def _follow(self, batch: Batch) -> None:
        """Move `whole` on over offsets without a hole."""
        for partition, end in batch.next.items():
            if self._contiguous.get(partition, True):
                offsets = _offsets(batch, partition)
                start = self.whole.get(partition, 0)
                holes = np.flatnonzero(offsets != np.arange(start, start + len(offsets)))
                self._contiguous[partition] = not len(holes)
                self.whole[partition] = start + int(holes[0]) if len(holes) else end


def read_topic(
    contract: Contract,
    state: TopicState,
    settings: Settings,
    into: TopicEntries,
    on_read: Callable[[int], None] = lambda _records: None,
) -> None:
    """Read the topic once, from its beginning to the ends of `state`; `on_read` hears the number of records so far.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    into.first = state.first
    for records in read(settings, state.topic, state.first, state.end):
        into.take(contract, decode_batch(contract, state.topic, records, len(state.end)), records)
        on_read(into.records)


def _mark_tombstones(made: Entries, batch: Batch) -> None:
    if batch.tombstones:
        deletes = np.flatnonzero(made["op"] == DELETE)
        places = zip(made["partition"][deletes].tolist(), made["offset"][deletes].tolist(), strict=True)
        lone = np.array([place in batch.tombstones for place in places], dtype=bool)
        made["flags"][deletes[lone]] |= TOMBSTONE


def _offsets(batch: Batch, partition: int) -> I64:
    here = batch.frame.filter(pl.col(PARTITION) == partition)[OFFSET].to_numpy()
    bad = [one.error.offset for one in batch.rejected if one.error.partition == partition]
    return np.sort(np.concatenate([here, np.array(bad, dtype=np.int64)])) if bad else here


def _columns(contract: Contract) -> dict[str, pl.DataType]:
    schema = frame_schema(contract)
    return {column.name: schema[column.name] for column in contract.columns}


def _key(contract: Contract, one: Rejected) -> tuple[Any, ...] | None:
    try:
        return codec(contract).decode_key(one.record.key() or b"")
    except MALFORMED:
        return None
