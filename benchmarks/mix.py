"""A shop's changes, made up: inserts, updates and deletes of one table, by a fixed seed.

The shapes are the replayer's: whole before-images, random keys, and updates that fall where they do in life. An item
may change at any age; an order changes while it is young, three times on average, and months pass as orders come.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from olist.changes import Envelope, Source, codec
from olist.contracts import MICROS_PER_SECOND, Contract, Row
from olist.order_status import COURSE
from olist.tables import ORDER_ITEMS, ORDERS, Order, OrderItem

FIRST_US = 1_475_000_000 * MICROS_PER_SECOND  # autumn 2016, as the real data set
SECONDS_BETWEEN_ORDERS = 600
DAY_US = 86_400 * MICROS_PER_SECOND
FREIGHT = Decimal("17.63")
SCATTER = 0x9E3779B97F4A7C15F39CC0605CEDC835  # odd, so multiplying by it keeps numbers apart


class Sent(NamedTuple):
    """A record to write. A tombstone has no value."""

    key: bytes
    value: bytes | None


@dataclass(frozen=True)
class Shape:
    """How a table lives: its rows, the share of inserts and deletes (the rest are updates), how old rows change."""

    row: Callable[[int, int], Row]  # (number, version)
    inserts: float
    deletes: float
    young: int | None = None  # so many of the newest rows change; None: all do


def identity(number: int) -> str:
    """32 hexadecimal digits, as random as the real ones."""
    return format(number * SCATTER % (1 << 128), "032x")


def order_item(number: int, version: int) -> OrderItem:
    """An item of its own order, whose price moves with each version."""
    price = Decimal(1000 + (number + version) % 90_000).scaleb(-2)
    product, seller = identity(number % 9973), identity(number % 997)
    return OrderItem(identity(number), 1, product, seller, FIRST_US + number * MICROS_PER_SECOND, price, FREIGHT)


def order(number: int, version: int) -> Order:
    """An order that has come as far as its version."""
    bought = FIRST_US + number * SECONDS_BETWEEN_ORDERS * MICROS_PER_SECOND
    approved, carried, delivered = (bought + n * DAY_US if version >= n else None for n in (1, 2, 3))
    status = COURSE[min(version, len(COURSE) - 1)]
    promised = bought + 20 * DAY_US
    return Order(identity(number), identity(number + 1), status, bought, approved, carried, delivered, promised)


SHAPES = {
    ORDER_ITEMS.table: Shape(order_item, inserts=0.60, deletes=0.05),
    ORDERS.table: Shape(order, inserts=0.26, deletes=0.01, young=20_000),
}


class Mix:
    """Endless changes of one table; it knows which rows are there."""

    def __init__(self, contract: Contract, seed: int = 1) -> None:
        self.contract = contract
        self.shape = SHAPES[contract.table]
        self._codec = codec(contract)
        self._random = random.Random(seed)
        self._live: list[int] = []
        self._versions: list[int] = []  # by number

    def changes(self, count: int) -> Iterator[tuple[Sent, ...]]:
        """So many changes; each is one record, a delete two."""
        for _ in range(count):
            yield self._change()

    def _change(self) -> tuple[Sent, ...]:
        kind = self._random.random()
        if not self._live or kind < self.shape.inserts:
            return self._insert()
        at = self._chosen()
        return self._delete(at) if kind < self.shape.inserts + self.shape.deletes else self._update(at)

    def _chosen(self) -> int:
        first = 0 if self.shape.young is None else max(0, len(self._live) - self.shape.young)
        return self._random.randrange(first, len(self._live))

    def _insert(self) -> tuple[Sent, ...]:
        number = len(self._versions)
        self._live.append(number)
        self._versions.append(0)
        return self._sent("c", None, self.shape.row(number, 0))

    def _update(self, at: int) -> tuple[Sent, ...]:
        number = self._live[at]
        version = self._versions[number]
        self._versions[number] = version + 1
        return self._sent("u", self.shape.row(number, version), self.shape.row(number, version + 1))

    def _delete(self, at: int) -> tuple[Sent, ...]:
        number, self._live[at] = self._live[at], self._live[-1]
        self._live.pop()
        (sent,) = self._sent("d", self.shape.row(number, self._versions[number]), None)
        return sent, Sent(sent.key, None)

    def _sent(self, op: str, before: Row | None, after: Row | None) -> tuple[Sent]:
        row = after if after is not None else before
        assert row is not None
        key = self._codec.encode_key(self._codec.key_of(row))
        return (Sent(key, self._codec.encode(self._envelope(op, before, after))),)

    def _envelope(self, op: str, before: Row | None, after: Row | None) -> Envelope[Row]:
        number = len(self._versions)
        at_us = FIRST_US + number * MICROS_PER_SECOND
        source = Source(
            version="3.7.0.Final",
            connector="postgresql",
            name="benchmark",
            ts_ms=at_us // 1000,
            snapshot="false",
            db="shop",
            sequence=f'["{number}","{number}"]',
            ts_us=at_us,
            ts_ns=at_us * 1000,
            schema="public",
            table=self.contract.table,
            txId=number,
            lsn=number,
        )
        ms, us, ns = source.ts_ms, source.ts_us, source.ts_ns
        return Envelope(
            before=before, after=after, source=source, transaction=None, op=op, ts_ms=ms, ts_us=us, ts_ns=ns
        )
