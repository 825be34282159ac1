"""The Faust app around a `Taker`: assignment, recovery, the loop, the clock's tick, commits.

A record is never skipped: whatever goes wrong ends the process (`ending.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import faust
import structlog
from faust.types import TP, EventT

from olist.errors import Fenced, ServerTrouble
from olist.settings import Settings
from stream_apps.app import Key
from stream_apps.faust.ending import Deadly
from stream_apps.faust.forwarding import Watermarks, source_name
from stream_apps.faust.held import MIXED, Held, first_steps, take_over
from stream_apps.faust.purging import purge
from stream_apps.faust.routes import tables_read
from stream_apps.faust.serving import Served
from stream_apps.faust.taking import Taker
from stream_apps.faust.transport import Transport
from stream_apps.faust.writer import STILL_OURS

log = structlog.get_logger()

COMMIT_S = 1.0
TICK_S = 0.5
TELL_S = 1.0
PURGE_S = 60.0
AT_ONCE = 500  # steps of a recovery between two looks at the event loop


@dataclass
class Shell:
    """Runs one worker. `topics` are the ids of the input topics by table, `code` tells the app's version."""

    settings: Settings
    taker: Taker
    topics: Mapping[str, str]
    code: str
    instance: str | None = None
    held: dict[int, Held] = field(default_factory=dict)
    _coming: dict[int, asyncio.Task[Held]] = field(default_factory=dict)
    _done: dict[TP, int] = field(default_factory=dict)  # next offset to take
    _passed: dict[int, int] = field(default_factory=dict)  # of forwarded records: may be purged
    _broadcast: Watermarks = field(default_factory=dict)
    _joined: bool = False
    _beat_s: float = 0.0
    _message: Any = None
    _queue: Any = None
    _told_events: int = -1

    def __post_init__(self) -> None:
        self._deadly = Deadly(self.taker.told, self._where)
        self._served = Served(self.taker.app.name)

    def build(self) -> faust.App:
        """The Faust app, ready to run."""
        taker, settings = self.taker, self.settings
        app = faust.App(
            taker.names.group,
            broker=f"kafka://{settings.kafka_bootstrap}",
            store="memory://",
            datadir=str(settings.home / "faust"),
            autodiscover=False,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            broker_commit_interval=COMMIT_S,
            broker_session_timeout=settings.session_timeout_ms / 1000,
            consumer_auto_offset_reset="earliest",
            stream_wait_empty=False,
        )
        app.transport = Transport(app, settings, self.instance, self.before_commit, self._has_room)
        app.on_partitions_assigned.connect(self._assigned)
        app.on_partitions_revoked.connect(self._revoked)
        topic = app.topic(*taker.topics, key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=taker.app.name)(self._take_all)
        app.task(self._tick_always)
        app.task(self._tell_always)
        app.task(self._purge_always)
        self._app = app
        return app

    async def before_commit(self, offsets: Mapping[TP, int]) -> Mapping[TP, int]:
        """Broadcast watermarks and flush; allow what was taken when this began."""
        with self._deadly:
            self._check_lease()
            allowed = {tp: min(offset, self._done[tp]) for tp, offset in offsets.items() if tp in self._done}
            reached = dict(self.taker.reached)
            if news := {source: us for source, us in reached.items() if us > self._broadcast.get(source, 0)}:
                self.taker.broadcast(news)
                self._broadcast.update(news)
            for held in self.held.values():
                if held.clock.reached != held.record.reached:
                    self.taker.memory.save(held.number, *held.record_of(held.record.clock_us))
            await self._flush()
            self._passed.update({tp.partition: at for tp, at in allowed.items() if tp.topic == self.taker.names.by_key})
            return allowed
        raise AssertionError("unreachable")

    def _has_room(self) -> bool:
        return self._queue is not None and not self._queue.full()

    async def _take_all(self, stream: faust.StreamT[Any]) -> None:
        channel: Any = stream.channel
        self._queue = channel.queue
        async for event in stream.events():
            with self._deadly:
                await self._take(event)

    async def _take(self, event: EventT[Any]) -> None:
        message: Any = event.message
        self._message = message
        held = self.held.get(message.partition) or await self._taken_over(message.partition)
        self._check_lease()
        await self.taker.take(held, message)
        self._done[message.tp] = message.offset + 1

    async def _taken_over(self, number: int) -> Held:
        coming = self._coming.get(number)
        if coming is None:
            raise Fenced(f"{self.taker.app.name}: a record of partition {number}, which is not this worker's")
        return await coming

    async def _assigned(self, *given: Any, **_: Any) -> None:
        with self._deadly:
            numbers = {tp.partition for tp in given[1]}
            self._forget_partitions()
            self._beat_s, self._joined = time.monotonic(), True
            self._coming = {number: asyncio.ensure_future(self._take_over(number)) for number in sorted(numbers)}
            log.info("assigned", app=self.taker.app.name, partitions=sorted(numbers))

    async def _revoked(self, *_: Any, **__: Any) -> None:
        with self._deadly:
            await self._flush()
            self._forget_partitions()

    def _forget_partitions(self) -> None:
        for coming in self._coming.values():
            coming.cancel()
        self._coming, self.held, self._joined = {}, {}, False
        self._passed.clear()
        self._done.clear()
        self._broadcast.clear()
        self.taker.reached.clear()

    async def _take_over(self, number: int) -> Held:
        """Read the partition's states back and write what fell due meanwhile."""
        with self._deadly:
            taker = self.taker
            remembered = await asyncio.to_thread(taker.memory.recall, number)
            held = take_over(taker.app, number, remembered, self.code, self.topics)
            for key in remembered.overtaken:
                taker.memory.save(number, key, remembered.entries[key])
            held.clock.expect(self._sources(), time.monotonic())  # the clock's times are not the wall's
            if held.record.code != self.code:
                await self._write_down(held, MIXED)
            for count, step in enumerate(first_steps(held, self.code, time.time())):
                taker.write(held, step)
                if count % AT_ONCE == 0:
                    await asyncio.sleep(0)
            await self._write_down(held, self.code)
            self.held[number] = held
            log.info("taken over", app=taker.app.name, partition=number, states=len(held.part.entries))
            return held
        raise AssertionError("unreachable")

    async def _write_down(self, held: Held, code: str) -> None:
        """Say which version's rows are on the topics, after all that was queued and before all that follows."""
        await self._flush()
        held.record.code = code
        self.taker.memory.save(held.number, *held.record_of(held.record.clock_us))
        await self._flush()

    def _sources(self) -> list[str]:
        tables = [contract.table for contract in tables_read(self.taker.app)]
        return [source_name(table, p) for table in tables for p in range(self.settings.partitions)]

    async def _tick_always(self) -> None:
        self._beat_s = time.monotonic()
        while True:
            with self._deadly:
                await asyncio.sleep(TICK_S)
                self._check_lease()
                self._beat_s = time.monotonic()
                await self._tick()

    async def _tick(self) -> None:
        """Let time pass in every partition. New times are written down before anything depends on them."""
        now = time.monotonic()
        clocks = {held.number: held.clock.next_us(now) for held in self.held.values()} if self.taker.app.timed else {}
        ticking = dict(self.held)
        if any(clocks[number] > held.clock.now_us for number, held in ticking.items() if clocks):
            for number, held in ticking.items():
                self.taker.memory.save(number, *held.record_of(clocks[number]))
            await self._flush()
        for number, held in ticking.items():
            if self.held.get(number) is held:  # else it was lost while the clock was written down
                self._tick_one(held, clocks.get(number, 0))

    def _tick_one(self, held: Held, clock_us: int) -> None:
        for step in held.tick(clock_us, time.time()):
            self.taker.write(held, step)
        for key in held.moves.forget(time.time()):
            self.taker.memory.save(held.number, key, None)

    async def _tell_always(self) -> None:
        while True:
            with self._deadly:
                await self.tell()
                await asyncio.sleep(TELL_S)

    async def _purge_always(self) -> None:
        while True:
            with self._deadly:
                await asyncio.sleep(PURGE_S)
                passed, self._passed = self._passed, {}
                await asyncio.to_thread(purge, self.settings, self.taker.names.by_key, passed)

    async def tell(self) -> None:
        """Bring the status up to date."""
        status = self.taker.told.status
        status.partitions = sorted(self._coming)
        status.states = sum(len(held.part.entries) for held in self.held.values())
        status.phase = "running" if self._joined and self._coming.keys() == self.held.keys() else "recovering"
        status.clock_us = min((held.clock.now_us for held in self.held.values()), default=None)
        status.lag = await self._lag()
        self.taker.told.stand(sum((held.part.standing for held in self.held.values()), Counter()))
        self.taker.told.publish()
        self._served.show([status])

    async def _lag(self) -> int | None:
        """Records between what was taken and the ends, of the partitions held; None while an end is not known."""
        consumer = self._app.consumer
        events, self._told_events = self._told_events, self.taker.told.status.events
        idle = self._told_events == events and (self._queue is None or self._queue.empty())  # all fetched is taken
        behind = 0
        for tp in consumer.assignment():
            try:
                end, position = consumer.highwater(tp), await consumer.position(tp)
            except (RuntimeError, AssertionError):  # its thread has stopped, or a rebalance is taking it away
                return None
            if end is None or position is None:
                return None
            behind += max(0, end - (position if idle else self._done.get(tp, position)))
        return behind

    async def _flush(self) -> None:
        try:
            await self.taker.writer.flush()
        except ServerTrouble:
            self._check_lease()  # where this process stood still, Kafka is not to blame
            raise

    def _check_lease(self) -> None:
        """Stop where another worker may have our partitions by now.

        Raises:
            Fenced: this process did not run for most of its session.
        """
        stopped_s = time.monotonic() - self._beat_s
        if stopped_s * 1000 > self.settings.session_timeout_ms * STILL_OURS:
            raise Fenced(f"{self.taker.app.name}: this worker did not run for {stopped_s:.1f} s", hint="start it again")

    def _where(self) -> tuple[str, Key | None]:
        """The record in hand, and the key in hand of its partition."""
        message = self._message
        if message is None:
            return "", None
        held = self.held.get(message.partition)
        return f"{message.topic}[{message.partition}]@{message.offset}", held.part.at_hand if held else None
