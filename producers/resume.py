"""Which changes are on the topics already: read and decided from the topics alone, to the record.

A change's partition follows from its key, so each partition holds a prefix of its own part of the sequence (an
idempotent producer keeps the order within a partition). Nothing else writes there, so an end offset of n says that
the first n are done, whatever killed the last run, and the last record must be the n-th of this data set. If it is
not, nothing is written: another data set, another road or a second replayer has been there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from olist.changes import MALFORMED, decode_envelope
from olist.clients.kafka import client_options
from olist.errors import ServerTrouble, Stopped
from olist.partitioner import partitions_of
from olist.positions import TopicState
from olist.settings import Settings
from olist.tables import TABLES
from producers.encoding import CONNECTOR, Origin, keys_of
from producers.row_histories import ROW
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


DEADLINE_S = 30.0
POLL_S = 0.5


def last_records(settings: Settings, states: Mapping[str, TopicState]) -> list[LastRecord]:
    """The last record of each partition that has any; `states` is by table.

    Raises:
        ServerTrouble: Kafka does not hand them out in time.
    """
    tables = {state.topic: table for table, state in states.items()}
    wanted = {(state.topic, p): end for state in states.values() for p, end in state.end.items() if end}
    if not wanted:
        return []
    consumer = Consumer(
        {
            **client_options(settings),
            "group.id": "olist-replay",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, end - 1) for (topic, partition), end in wanted.items()])
        found = _read(consumer, dict(wanted), time.monotonic() + DEADLINE_S)
    finally:
        consumer.close()
    return [
        LastRecord(tables[topic], topic, partition, end, *_origin(found.get((topic, partition))))
        for (topic, partition), end in wanted.items()
    ]


def _read(consumer: Consumer, wanted: dict[tuple[str, int], int], deadline: float) -> dict[tuple[str, int], bytes]:
    """One value per partition; a partition whose last offset holds no record (a transaction's marker) gives none."""
    found: dict[tuple[str, int], bytes] = {}
    while wanted:
        if time.monotonic() > deadline:
            raise ServerTrouble("kafka", f"no answer for {len(wanted)} partitions in {DEADLINE_S:g} s")
        for message in consumer.consume(len(wanted), POLL_S):
            where = _partition(message)
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise ServerTrouble("kafka", f"{where[0]}[{where[1]}]: {error.str()}")
            value = message.value()
            if error is None and value is not None:
                found[where] = value if isinstance(value, bytes) else value.encode()
            wanted.pop(where, None)
    return found


def _partition(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0


def _origin(value: bytes | None) -> tuple[str, str | None]:
    """The connector and the sequence that a record names; nothing where it is no envelope at all."""
    if value is None:
        return "", None
    try:
        source = decode_envelope(value).source
    except MALFORMED:
        return "", None
    return source.connector, source.sequence
