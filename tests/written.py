"""Rows written to a table's topic as changes, the way the replayer and Debezium write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from confluent_kafka import Producer

from olist.changes import Envelope, Source, codec
from olist.clients.kafka import client_options
from olist.contracts import Contract, Row
from olist.settings import Settings
from olist.topics.admin import ensure_topics

SECOND_US = 1_000_000


def envelope(contract: Contract, op: str, after: Row | None, before: Row | None = None, at_s: int = 1) -> bytes:
    """The value of one change."""
    source = Source(
        version="3.7.0.Final",
        connector="tests",
        name="tests",
        ts_ms=at_s * 1000,
        snapshot="false",
        db="tests",
        sequence=None,
        ts_us=at_s * SECOND_US,
        ts_ns=at_s * SECOND_US * 1000,
        schema="public",
        table=contract.table,
        txId=None,
        lsn=None,
    )
    made: Envelope[Row] = Envelope(before=before, after=after, source=source, op=op, ts_ms=at_s * 1000)
    return codec(contract).encode(made)


class Writer:
    """Writes records and waits until Kafka has them. Topics are made where they are missing."""

    def __init__(self, settings: Settings, partitioner: str = "murmur2_random") -> None:
        self.settings = settings
        self._there: set[str] = set()
        self._producer = Producer({**client_options(settings), "partitioner": partitioner, "linger.ms": 5})

    def create(self, contract: Contract, rows: Iterable[Row]) -> None:
        """One create per row."""
        self.raw(contract, [(self._key(contract, row), envelope(contract, "c", row)) for row in rows])

    def update(self, contract: Contract, before: Row, after: Row) -> None:
        """One update with its before-image."""
        self.raw(contract, [(self._key(contract, after), envelope(contract, "u", after, before))])

    def delete(self, contract: Contract, row: Row) -> None:
        """A delete and its tombstone."""
        key = self._key(contract, row)
        self.raw(contract, [(key, envelope(contract, "d", None, row)), (key, None)])

    def raw(self, contract: Contract, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Bytes as they are."""
        if contract.table not in self._there:  # to ask costs the load of a test more than its records do
            ensure_topics(self.settings, [contract])
            self._there.add(contract.table)
        self.to(contract.topic(self.settings.topic_prefix), records)

    def to(self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], headers: Sequence[Any] = ()) -> None:
        """Bytes to any topic that is there."""
        failures: list[str] = []
        for key, value in records:
            self._producer.produce(
                topic,
                key=key,
                value=value,
                headers=list(headers),
                on_delivery=lambda error, _message: failures.append(str(error)) if error else None,
            )
            self._producer.poll(0)
        assert self._producer.flush(30) == 0
        assert not failures, failures

    def _key(self, contract: Contract, row: Row) -> bytes:
        return codec(contract).encode_key(codec(contract).key_of(row))
