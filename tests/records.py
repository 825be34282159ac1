"""Records as a consumer gives them, made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from olist.changes import codec
from olist.contracts import Contract

ITEM: dict[str, Any] = {
    "order_id": "o",
    "order_item_id": 1,
    "product_id": "p",
    "seller_id": "s",
    "shipping_limit_date": 1_506_941_793_000_000,
    "price": "10.50",
    "freight_value": "0.00",
}
"""A row of order_items as it is on the wire."""


@dataclass(frozen=True)
class FakeRecord:
    """What `olist.batches.Record` asks for, and a timestamp."""

    raw_key: bytes | None
    raw_value: bytes | None
    at: int = 0
    of_partition: int = 0
    extra: list[tuple[str, bytes]] = field(default_factory=list)

    def key(self) -> bytes | None:
        return self.raw_key

    def value(self) -> bytes | None:
        return self.raw_value

    def partition(self) -> int:
        return self.of_partition

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def headers(self) -> list[tuple[str, bytes]]:
        return self.extra


def envelope(op: str, after: dict[str, Any] | None, *, ts_us: int = 1_000) -> bytes:
    """An envelope with as little around the row as a reader needs."""
    return msgspec.json.encode({"before": None, "after": after, "source": {"ts_ms": 1, "ts_us": ts_us}, "op": op})


def record_of(
    contract: Contract, row: dict[str, Any], offset: int = 0, *, op: str = "c", partition: int = 0
) -> FakeRecord:
    """The record of a change, from the row's wire values (money as strings, timestamps as microseconds)."""
    key = codec(contract).encode_key(tuple(row[name] for name in contract.key))
    return FakeRecord(key, envelope(op, None if op == "d" else row), offset, partition)
