"""A shop that goes on where the data set ends: new orders, their steps, reviews; so many records a second.

Orders, items and reviews are made after those of the data set, so their customers, products and sellers are there.
Every record has a commit time of its own, by which the rows that it leads to are known again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import NamedTuple

from confluent_kafka import Producer
from msgspec.structs import replace

from benchmarks.mix import DAY_US, identity
from benchmarks.topic import due
from olist.changes import codec
from olist.clients.kafka import client_options
from olist.contracts import Contract, Row
from olist.errors import ServerTrouble
from olist.order_status import APPROVED, COURSE, CREATED, DELIVERED, SHIPPED
from olist.settings import Settings
from olist.source import Dataset, iter_rows
from olist.tables import ORDER_ITEMS, ORDER_REVIEWS, ORDERS, Order, OrderItem, OrderReview
from producers.encoding import Origin, envelope_of, source_of
from producers.row_histories import EVENT_US
from producers.sequence import sequence

NEW_ORDERS, REVIEWS = 0.2, 0.15  # of the changes; the rest are an order's next step
PRICELESS_EVERY = 3  # such an item breaks a rule, which is what `quality` tells
FLUSH_WITHIN_S = 30.0


class Made(NamedTuple):
    """A change: of a table, what was there before, and what is there now."""

    contract: Contract
    before: Row | None
    after: Row


@dataclass
class Shop:
    """Endless changes, by a fixed seed. `now_us` is the event time of the newest."""

    orders: list[Order]
    items: dict[str, OrderItem]
    reviews: list[OrderReview]
    now_us: int
    _random: Random = field(default_factory=lambda: Random(1))
    _open: list[Order] = field(default_factory=list)
    _delivered: deque[Order] = field(default_factory=deque)
    _made: int = 0

    @classmethod
    def after(cls, dataset: Dataset) -> Shop:
        """The one that begins when the data set's last change was committed."""
        orders, items, reviews = (
            list(iter_rows(contract, dataset.frames[contract.table]))
            for contract in (ORDERS, ORDER_ITEMS, ORDER_REVIEWS)
        )
        first_items = {item.order_id: item for item in reversed(items) if isinstance(item, OrderItem)}
        return cls(
            [order for order in orders if isinstance(order, Order) and order.order_id in first_items],
            first_items,
            [review for review in reviews if isinstance(review, OrderReview)],
            int(sequence(dataset.frames)[EVENT_US].max()),  # type: ignore[arg-type] # it is a column of integers
        )

    def changes(self) -> Iterator[Made]:
        """One after the other, without end."""
        while True:
            kind = self._random.random()
            if not self._open or kind < NEW_ORDERS:
                yield from self._order()
            elif kind < NEW_ORDERS + REVIEWS and self._delivered:
                yield self._review(self._delivered.popleft())
            else:
                yield self._step()

    def _order(self) -> Iterator[Made]:
        self._made += 1
        like = self._random.choice(self.orders)
        order = replace(
            like,
            order_id=identity(self._made),
            order_status=CREATED,
            order_purchase_timestamp=self.now_us,
            order_approved_at=None,
            order_delivered_carrier_date=None,
            order_delivered_customer_date=None,
            order_estimated_delivery_date=self.now_us + 20 * DAY_US,
        )
        self._open.append(order)
        yield Made(ORDERS, None, order)
        item = self.items[like.order_id]
        price = Decimal(0) if self._made % PRICELESS_EVERY == 0 else item.price
        limit_us = self.now_us + 5 * DAY_US
        yield Made(ORDER_ITEMS, None, replace(item, order_id=order.order_id, shipping_limit_date=limit_us, price=price))

    def _step(self) -> Made:
        """To the next status, with the date that it brings."""
        at = self._random.randrange(len(self._open))
        before = self._open[at]
        status = COURSE[COURSE.index(before.order_status) + 1]
        dates = {
            APPROVED: {"order_approved_at": self.now_us},
            SHIPPED: {"order_delivered_carrier_date": self.now_us},
            DELIVERED: {"order_delivered_customer_date": self.now_us},
        }
        after = replace(before, order_status=status, **dates.get(status, {}))
        if status == DELIVERED:
            self._open[at] = self._open[-1]
            self._open.pop()
            self._delivered.append(after)
        else:
            self._open[at] = after
        return Made(ORDERS, before, after)

    def _review(self, order: Order) -> Made:
        self._made += 1
        like = self._random.choice(self.reviews)
        return Made(
            ORDER_REVIEWS,
            None,
            replace(
                like,
                review_id=identity(self._made),
                order_id=order.order_id,
                review_creation_date=self.now_us,
                review_answer_timestamp=None,
            ),
        )


class ShopWriter:
    """Writes a shop's changes to their topics. `sent_us`: commit time -> when it was handed to the producer."""

    def __init__(self, settings: Settings, shop: Shop) -> None:
        self.settings, self.shop = settings, shop
        self.sent_us: dict[int, int] = {}
        self._changes = shop.changes()
        self._origin = Origin("benchmark", settings.topic_prefix)
        self._producer = Producer(
            {
                **client_options(settings),
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "lz4",
                "log_level": 0,
            }
        )

    def pace(self, records_per_s: int, seconds: float, clock: Callable[[], int] = time.time_ns) -> None:
        """So many records a second, spread evenly; event time goes on as fast as the clock."""
        ahead_us = self.shop.now_us - clock() // 1000
        for number in due(records_per_s, seconds):
            for _ in range(number):
                self.shop.now_us = max(self.shop.now_us + 1, clock() // 1000 + ahead_us)
                self._send(next(self._changes), clock)
        if left := self._producer.flush(FLUSH_WITHIN_S):
            raise ServerTrouble("kafka", f"{left} records were not taken within {FLUSH_WITHIN_S:g} s")

    def _send(self, made: Made, clock: Callable[[], int]) -> None:
        contract, at_us = made.contract, self.shop.now_us
        coded = codec(contract)
        source = source_of(contract, self._origin, at_us, at_us, at_us)
        key = coded.encode_key(coded.key_of(made.after))
        value = coded.encode(envelope_of(source, made.before, made.after))
        self.sent_us[at_us] = clock() // 1000
        self._producer.produce(contract.topic(self.settings.topic_prefix), key=key, value=value)
        self._producer.poll(0)
