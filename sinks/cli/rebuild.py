"""What a rebuild of a table loses: rows and changes that its topic can no longer give. Looking changes nothing.

A row came from one record of the topic. Retention and ``DeleteRecords`` take records away, and Kafka's cleaner all but
the last one of a key, so a row whose own record is gone comes back only by a later change of its key that the target
takes. Which rows have none of those is what `olist check` finds out; here each row without its record counts.

Read in this order: where the rows came from (about 17 bytes each), the topic's ends, which none is beyond, its records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from olist.batches import OFFSET, PARTITION
from olist.contracts import Contract
from olist.errors import Stopped
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import topic_state
from olist.topics.broker import Broker
from olist.topics.reader import read as read_topic
from sinks.readback import Reading, read

I64 = npt.NDArray[np.int64]
COMES_BACK = "each comes back only where a later change of its key is there and is taken"
NEVER = "they are lost for good"


class SoughtRecords:
    """The records of one partition that rows came from, and which of them the topic has."""

    def __init__(self, offsets: I64) -> None:
        self._offsets, self._rows = np.unique(offsets, return_counts=True)
        self._found = np.zeros(len(self._offsets), dtype=bool)

    def strike_off(self, offsets: I64) -> None:
        """The topic has records at these offsets."""
        at = np.minimum(np.searchsorted(self._offsets, offsets), len(self._offsets) - 1)
        self._found[at[self._offsets[at] == offsets]] = True

    @property
    def rows_without(self) -> int:
        """Rows whose record was not found."""
        return int(self._rows[~self._found].sum())


@dataclass(frozen=True)
class RebuiltTable:
    """A table that would be removed: its rows, and from where of which topic they came."""

    name: str
    fate: str  # of a row whose record is gone
    topic_id: str
    rows: int
    sought: dict[int, SoughtRecords]

    @classmethod
    def of(cls, name: str, fate: str, reading: Reading) -> RebuiltTable:
        """Read it."""
        rows = pl.concat([chunk.select(PARTITION, OFFSET) for chunk in reading.chunks])
        offsets = rows.partition_by(PARTITION, as_dict=True, include_key=False)
        sought = {int(partition): SoughtRecords(of[OFFSET].to_numpy()) for (partition,), of in offsets.items()}
        return cls(name, fate, reading.positions.topic_id if reading.positions else "", rows.height, sought)

    def loss(self, state: TopicState) -> str:
        """In words; nothing where there is none."""
        if self.topic_id not in ("", state.topic_id):
            return f"{self.name}: {state.topic} was made again since; what only the topic before had is lost for good"
        gone = sum(of_one.rows_without for of_one in self.sought.values())
        begins = {partition: first for partition, first in sorted(state.first.items()) if first}
        where = f", which begins at offsets {begins}" if begins else ""
        told = f"{self.name}: {gone:,} of {self.rows:,} rows come from records that are gone from {state.topic}{where}"
        return f"{told}: {self.fate}" if gone else ""


def losses(target: str, contract: Contract, settings: Settings, *, with_history: bool) -> list[str]:
    """What of the table, and with `with_history` of its history, cannot be read from the topic again; a sentence each.

    Raises:
        ServerTrouble: Kafka or the target does not answer.
    """
    topic = contract.topic(settings.topic_prefix)
    broker = Broker(settings)
    if topic not in broker.names():
        return [f"{contract.table}: there is no topic {topic}, so nothing can be read again"]
    tables: list[RebuiltTable] = []
    told: list[str] = []
    for name, fate, which in _tables(contract, with_history=with_history):
        try:
            with read(target, contract, settings, **which) as reading:
                tables += [] if reading is None else [RebuiltTable.of(name, fate, reading)]
        except Stopped as refused:
            told.append(f"{name}: what would be lost is not known, since it cannot be read: {refused}")
    state = topic_state(broker.admin, topic)
    _strike_off(tables, state, settings)
    return [*told, *filter(None, (table.loss(state) for table in tables))]


def _tables(contract: Contract, *, with_history: bool) -> Iterator[tuple[str, str, dict[str, bool]]]:
    yield contract.table, COMES_BACK, {}
    if with_history and contract.history:
        yield f"{contract.table}_changes", NEVER, {"history": True}


def _strike_off(tables: Iterable[RebuiltTable], state: TopicState, settings: Settings) -> None:
    """Read the topic once; nothing of it where no table has a row."""
    wanted = {partition for table in tables for partition in table.sought}
    first = {partition: at for partition, at in state.first.items() if partition in wanted}
    for records in read_topic(settings, state.topic, first, state.end):
        places = np.array([(record.partition(), record.offset()) for record in records], dtype=np.int64)
        for partition in np.unique(places[:, 0]).tolist():
            offsets = places[places[:, 0] == partition, 1]
            for table in tables:
                if partition in table.sought:
                    table.sought[partition].strike_off(offsets)
