"""Rows to records: the envelopes that the source topics hold too, so that sinks and checks need nothing new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from olist.changes import Envelope, Source, codec
from olist.contracts import Contract, Float, Integer, Row, Text, Timestamp

CONNECTOR, CONNECTOR_VERSION = "faust", "1"


@dataclass
class Output:
    """One contract's records."""

    contract: Contract
    prefix: str

    def __post_init__(self) -> None:
        *names, schema = self.prefix.split(".")
        name = ".".join(names) or schema
        self.topic = self.contract.topic(self.prefix)
        self._codec = codec(self.contract)
        self._exact = [c for c in self.contract.columns if not isinstance(c.type, Text | Integer | Float | Timestamp)]
        self._source = Source(
            version=CONNECTOR_VERSION,
            connector=CONNECTOR,
            name=name,
            ts_ms=0,
            snapshot="false",
            db=name,
            sequence=None,
            ts_us=0,
            ts_ns=0,
            schema=schema,
            table=self.contract.table,
            txId=None,
            lsn=None,
        )
        self._envelope: Envelope[Row] = Envelope(before=None, after=None, source=self._source, op="u", ts_ms=0)

    def key(self, values: tuple[Any, ...]) -> bytes:
        """A record's key."""
        return self._codec.encode_key(values)

    def value(self, row: Row, at_us: int, now_ms: int) -> bytes:
        """A record's value: the row as of an event time, written at a wall time.

        Raises:
            ValueError: a value that its column cannot hold.
        """
        for column in self._exact:
            if problem := column.problem(getattr(row, column.name)):
                raise ValueError(f"{self.contract.table}: {problem}")
        source, envelope = self._source, self._envelope  # one of each is enough: they are encoded at once
        source.ts_us, source.ts_ms, source.ts_ns = at_us, at_us // 1000, at_us * 1000
        envelope.after, envelope.ts_ms = row, now_ms
        return self._codec.encode(envelope)
