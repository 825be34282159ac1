"""Parcels on a topic of their own, carried to the targets as sinks do it, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # a public name, re-exported without `as`

from olist.batches import decode_batch
from olist.contracts import Contract
from olist.positions import Positions, TopicState
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_state
from olist.topics.dead_letters import DeadLetters, dead_letter_topic
from olist.topics.reader import read
from sinks.base import TARGETS, factory
from sinks.check.report import Finding, Report
from sinks.check.run import check
from tests.integration.tampering import HANDS, Hand
from tests.laws.parcels import PARCELS, Item, Parcel, fresh, parcel
from tests.written import Writer

ROWS = 60
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Parcels:
    """A table of parcels on a topic of its own, and in the targets it was carried to."""

    contract: Contract
    settings: Settings
    writer: Writer

    @property
    def state(self) -> TopicState:
        """The topic as it is now."""
        topic = self.contract.topic(self.settings.topic_prefix)
        return topic_state(admin_client(self.settings), topic)

    def carry(self, target: str, refuse: frozenset[str] = frozenset(), end: Mapping[int, int] | None = None) -> None:
        """Bring a target to the topic's end (or to an earlier one), as a sink does, refusing rows with these labels."""
        state = self.state
        topic = state.topic
        table = factory(target)(self.contract, self.settings)
        held = table.open() or Positions.start(topic, state.topic_id, len(state.end))
        table.assign(frozenset(state.end))
        for records in read(self.settings, topic, held.next, end or state.end):
            batch = decode_batch(self.contract, topic, records, len(state.end))
            refused = [(row, "no") for row, label in enumerate(batch.frame["label"]) if label in refuse]
            batch = batch.without(refused, records, target)
            DeadLetters(self.settings).write(batch.rejected, 0.0)
            held = table.commit(table.stage(batch), held)
        table.close()

    def empty(self, target: str) -> None:
        """Drop the target's table and history."""
        table = factory(target)(self.contract, self.settings)
        table.drop()
        table.drop_histories()
        table.close()

    def check(self, *targets: str, **options: Any) -> Report:
        return check(self.settings, contracts=[self.contract], targets=targets or TARGETS, **options)

    def finding(self, target: str, **options: Any) -> Finding:
        """Of the target's table; its history is another one."""
        return next(one for one in self.check(target, **options).findings if one.target == target)

    def hand(self, target: str) -> Hand:
        return HANDS[target](self.contract, self.settings)


NOTES = (None, "", " ", "linha 1\r\nlinha 2", "ótimo 👍", '"quoted", \\ and more')


def item(n: int) -> Item:
    """What is easily lost, in a list."""
    price, packed_at = Decimal(n * 10).scaleb(-2) if n % 3 else None, n * DAY_US + n if n % 2 else None
    return Item(f"sku{n}", n, 2**53 + n, price, n / 7, packed_at, NOTES[n % len(NOTES)])


def rows() -> list[Parcel]:
    """Parcels over three days, with what is easily lost: null and empty texts, emoji, line breaks, trailing zeros."""
    return [
        parcel(
            f"p{i}",
            note=NOTES[i % len(NOTES)],
            price=Decimal(i).scaleb(-2) if i % 5 else None,
            sent_at=1_500_000_000_000_000 + i % 3 * DAY_US + i,
            latitude=-23.5 + i / 7,
            weight_g=2**40 + i,
            items=[item(n) for n in range(i % 4)],
            returned=[item(i)],  # not null: PyIceberg's own writes, by which a test tampers, make such a list empty
        )
        for i in range(ROWS)
    ]


def written(settings: Settings, *, history: bool = False) -> Parcels:
    """Created, some updated, some deleted, one deleted and created again, on a topic of their own."""
    settings = settings.model_copy(update={"topic_prefix": f"check_{uuid4().hex[:8]}"})
    # PyIceberg's own writes, by which a test tampers, cannot partition by month without another library.
    contract = fresh(replace(PARCELS, partition_by=None, history=history))
    writer = Writer(settings)
    made = rows()
    writer.create(contract, made)
    updated = [parcel(row.parcel_id, label="updated", sent_at=row.sent_at, returned=[]) for row in made[:10]]
    writer.create(contract, updated)
    writer.delete(contract, made[20])
    writer.delete(contract, made[21])
    writer.create(contract, [made[21]])
    letters = NewTopic(dead_letter_topic(settings), num_partitions=1, replication_factor=1)
    admin = admin_client(settings)
    admin.create_topics([letters])[dead_letter_topic(settings)].result()
    return Parcels(contract, settings, writer)
