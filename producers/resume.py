"""Which changes are on the topics already: decided from the topics alone, to the record.

A change's partition follows from its key, so each partition holds a prefix of its own part of the sequence (an
idempotent producer keeps the order within a partition). Nothing else writes there, so an end offset of n says that
the first n are done, whatever killed the last run, and the last record must be the n-th of this data set. If it is
not, nothing is written: another data set, another road or a second replayer has been there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from olist.errors import Stopped
from olist.partitioner import partitions_of
from olist.positions import TopicState
from olist.tables import TABLES
from producers.encoding import CONNECTOR, Origin, keys_of
from producers.life import ROW
from producers.sequence import SEQ, TABLE, TABLE_NAMES

PARTITION = "partition"
NTH = "nth"  # a change's place, from 0, in its partition: its offset
_DONE = "done"

WAY_OUT = (
    "`olist replay --from-start` deletes these topics and writes them anew; "
    "or set OLIST_TOPIC_PREFIX to write beside them"
)


@dataclass(frozen=True)
class LastRecord:
    """The last record of a partition: the road it came by, and its data set and number as the road wrote them."""

    table: str
    topic: str
    partition: int
    end: int
    connector: str
    sequence: str | None


def placed(frames: Mapping[str, pl.DataFrame], changes: pl.DataFrame, partitions: int) -> pl.DataFrame:
    """The sequence with each change's `PARTITION` and `NTH`."""
    parts = [
        pl.DataFrame({PARTITION: partitions_of(keys_of(contract, frames[table]), partitions)})
        .with_row_index(ROW)
        .with_columns(pl.lit(index, pl.UInt8).alias(TABLE))
        for index, (table, contract) in enumerate(TABLES.items())
    ]
    where = pl.concat(parts)
    there = changes.join(where, on=[TABLE, ROW], how="left", maintain_order="left")
    return there.with_columns((pl.int_range(pl.len(), dtype=pl.Int64).over(TABLE, PARTITION)).alias(NTH))


def pending(changes: pl.DataFrame, states: Mapping[str, TopicState]) -> pl.DataFrame:
    """The changes of the topics' tables that are not on them yet, in order."""
    ends = pl.DataFrame(
        [
            (TABLE_NAMES.index(table), partition, end)
            for table, state in states.items()
            for partition, end in state.end.items()
        ],
        schema={TABLE: pl.UInt8, PARTITION: pl.Int32, _DONE: pl.Int64},
        orient="row",
    )
    known = changes.join(ends, on=[TABLE, PARTITION], how="inner", maintain_order="left")
    return known.filter(pl.col(NTH) >= pl.col(_DONE)).drop(_DONE)


def check_last_records(changes: pl.DataFrame, last: Iterable[LastRecord], origin: Origin) -> None:
    """Refuse topics whose last records are not the ones that this data set's sequence puts there.

    Raises:
        Stopped: naming the partition, what it holds and what was expected.
    """
    last = list(last)
    asked = pl.DataFrame(
        {
            TABLE: [TABLE_NAMES.index(record.table) for record in last],
            PARTITION: [record.partition for record in last],
            NTH: [record.end - 1 for record in last],
        },
        schema={TABLE: pl.UInt8, PARTITION: pl.Int32, NTH: pl.Int64},
    )
    expected = asked.join(changes, on=[TABLE, PARTITION, NTH], how="left", maintain_order="left")[SEQ]
    for record, seq in zip(last, expected, strict=True):
        if problem := _problem(record, seq, origin):
            raise Stopped(f"topic {record.topic}, partition {record.partition}: {problem}", hint=WAY_OUT)


def _problem(record: LastRecord, seq: int | None, origin: Origin) -> str:
    if record.connector != CONNECTOR:
        return f"the last record was not written by a replay but by {record.connector or 'something else'}"
    if not origin.wrote(record.sequence):
        return f"it holds another data set: {record.sequence}, this one is {origin.fingerprint}"
    if seq is None:
        return f"it holds {record.end} records, more than this data set has for it"
    if record.sequence != origin.sequence(seq):
        return (
            f"record {record.end - 1} should be change {seq}, but is {record.sequence}: "
            "two replays wrote at the same time, or something else did"
        )
    return ""
