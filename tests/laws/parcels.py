"""A table with a column of every type, a composite key and a geo point, and records of it as from a topic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import count
from typing import Annotated, Any
from uuid import uuid4

import msgspec

from olist import partitioner
from olist.changes import Envelope, Source, codec
from olist.contracts import (
    FIRST_MICROS,
    LAST_MICROS,
    Contract,
    Double,
    GeoPoint,
    Int,
    Long,
    Month,
    Near1970,
    Portuguese,
    Price,
    Row,
    Str,
    Timestamp,
)

PARTITIONS = 4
TOPIC_ID = "topic-made-first"


Micros = Annotated[int, msgspec.Meta(ge=FIRST_MICROS, le=LAST_MICROS), Timestamp(), Near1970()]


class Item(Row):
    """What is in a parcel: a column of every type again."""

    sku: Str
    pieces: Int
    serial: Long | None = None
    price: Price | None = None
    weight_g: Double | None = None
    packed_at: Micros | None = None
    words: Portuguese | None = None


class Parcel(Row):
    """A parcel on one leg of its way."""

    parcel_id: Str
    leg: Int
    label: Str
    weight_g: Long
    sent_at: Micros
    price: Price | None
    latitude: Double | None
    longitude: Double | None
    arrived_at: Micros | None
    note: Portuguese | None
    items: list[Item]
    returned: list[Item] | None


PARCELS = Contract(
    "parcels",
    Parcel,
    key=("parcel_id", "leg"),
    event_time="sent_at",
    partition_by=Month("sent_at"),
    geo=GeoPoint("place", "latitude", "longitude"),
)


def fresh(contract: Contract = PARCELS) -> Contract:
    """The same contract under a table name that no other test uses."""
    return replace(contract, table=f"{contract.table}_{uuid4().hex[:12]}")


def topic_of(contract: Contract) -> str:
    """Where the table's changes would come from."""
    return contract.topic("laws")


def parcel(parcel_id: str = "p1", leg: int = 1, **values: Any) -> Parcel:
    """A parcel whose other columns are unremarkable unless given."""
    plain: dict[str, Any] = {
        "label": "plain",
        "weight_g": 100,
        "sent_at": 1_500_000_000_000_000,
        "price": Decimal("10.50"),
        "latitude": -23.5,
        "longitude": -46.6,
        "arrived_at": None,
        "note": None,
        "items": [],
        "returned": None,
    }
    return Parcel(parcel_id=parcel_id, leg=leg, **(plain | values))


@dataclass(frozen=True)
class Taken:
    """A consumed record."""

    key_bytes: bytes
    value_bytes: bytes | None
    in_partition: int
    at_offset: int

    def key(self) -> bytes:
        return self.key_bytes

    def value(self) -> bytes | None:
        return self.value_bytes

    def partition(self) -> int:
        return self.in_partition

    def offset(self) -> int:
        return self.at_offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000 + self.at_offset


def partition_of(key: tuple[Any, ...], contract: Contract = PARCELS) -> int:
    """A key stays in its partition."""
    return partitioner.partition_of(codec(contract).encode_key(key), PARTITIONS)


def neighbour(key: tuple[Any, ...] = ("p1", 1)) -> Parcel:
    """A parcel whose key lies in the same partition as another key."""
    names = (f"neighbour{n}" for n in count())
    return parcel(next(name for name in names if partition_of((name, 1)) == partition_of(key)))


def upsert(contract: Contract, row: Row, offset: int) -> Taken:
    """The record that creates or updates a row."""
    return _record(contract, codec(contract).key_of(row), row, "u", offset)


def delete(contract: Contract, key: tuple[Any, ...], offset: int) -> Taken:
    """The record that deletes a row."""
    return _record(contract, key, None, "d", offset)


def tombstone(contract: Contract, key: tuple[Any, ...], offset: int) -> Taken:
    """The record without a value that follows a delete."""
    return Taken(codec(contract).encode_key(key), None, partition_of(key, contract), offset)


def _record(contract: Contract, key: tuple[Any, ...], row: Row | None, op: str, offset: int) -> Taken:
    second = 1_700_000_000 + offset % 1_000_000
    source = Source(
        version="3.7.0.Final",
        connector="laws",
        name="laws",
        ts_ms=second * 1000,
        snapshot="false",
        db="laws",
        sequence=None,
        ts_us=second * 1_000_000,
        ts_ns=second * 1_000_000_000,
        schema="public",
        table=contract.table,
        txId=None,
        lsn=None,
    )
    envelope: Envelope[Row] = Envelope(before=None, after=row, source=source, op=op, ts_ms=second * 1000)
    made = codec(contract)
    return Taken(made.encode_key(key), made.encode(envelope), partition_of(key, contract), offset)


def upserts(contract: Contract, rows: Iterable[Row], first_offset: int = 0) -> Sequence[Taken]:
    """One record per row, at rising offsets."""
    return [upsert(contract, row, offset) for offset, row in enumerate(rows, first_offset)]
