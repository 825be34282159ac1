"""How the consumer hands records to the worker: their turns, and what becomes of them in a rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from stream_apps.faust.transport import Consumer

ORDERS, ITEMS = TP("orders", 0), TP("items", 0)


class Rebalanced:
    """Of Faust's consumer what handing over needs; `flow` and `generation` are what a rebalance changes."""

    def __init__(self, process: Callable[[TP, Any], Awaitable[None]], *, flow: bool = True) -> None:
        self.app, self.flow_active, self.in_hand = SimpleNamespace(consumer_generation_id=1), flow, False
        self.worker, self.scheduler = SimpleNamespace(process=process), DefaultSchedulingStrategy()  # type: ignore[abstract] # for Faust, it is none
        self.can_resume_flow = asyncio.Event()

    async def wait(self, event: asyncio.Event) -> None:
        await event.wait()

    def revoke(self) -> None:
        self.flow_active = False

    def assign(self, generation: int) -> None:
        self.app.consumer_generation_id = generation

    def resume(self) -> None:
        self.flow_active = True
        self.can_resume_flow.set()

    async def hand_over(self, records: dict[TP, list[int]]) -> None:
        await Consumer._hand_over(cast(Consumer, self), records, set(records) - {TP("paused", 0)})


def test_topics_take_turns_and_each_keeps_its_order() -> None:
    handed: list[tuple[str, int]] = []

    async def process(tp: TP, record: int) -> None:
        assert consumer.in_hand
        handed.append((tp.topic, record))

    async def run() -> None:
        await consumer.hand_over({ORDERS: [1, 2], ITEMS: [7, 8], TP("paused", 0): [9]})

    consumer = Rebalanced(process)
    asyncio.run(run())
    assert handed == [("orders", 1), ("items", 7), ("orders", 2), ("items", 8)]
    assert not consumer.in_hand


def test_what_is_left_when_partitions_are_revoked_is_not_handed_over() -> None:
    handed: list[int] = []

    async def process(_tp: TP, record: int) -> None:
        handed.append(record)
        if record == 2:
            consumer.revoke()
            await asyncio.sleep(0)

    consumer = Rebalanced(process)
    asyncio.run(consumer.hand_over({ORDERS: [1, 2, 3]}))
    assert handed == [1, 2]


def test_what_is_left_is_not_handed_over_to_the_next_assignment() -> None:
    handed: list[int] = []

    async def process(_tp: TP, record: int) -> None:
        handed.append(record)
        if record == 2:  # revoked, assigned and resumed while this one waits for its dead letter to be acknowledged
            consumer.revoke()
            consumer.assign(2)
            consumer.resume()

    consumer = Rebalanced(process)
    asyncio.run(consumer.hand_over({ORDERS: [1, 2, 3]}))
    assert handed == [1, 2]


def test_records_of_a_new_assignment_wait_for_its_beginning_and_those_of_the_old_one_are_dropped() -> None:
    async def handed_over(assigned_when_fetched: int) -> list[int]:
        handed: list[int] = []

        async def process(_tp: TP, record: int) -> None:
            handed.append(record)

        consumer = Rebalanced(process, flow=False)
        consumer.assign(assigned_when_fetched)
        handing = asyncio.create_task(consumer.hand_over({ORDERS: [1]}))
        await asyncio.sleep(0)
        assert not handed
        consumer.assign(2)
        consumer.resume()
        await handing
        return handed

    assert asyncio.run(handed_over(2)) == [1]
    assert asyncio.run(handed_over(1)) == []
