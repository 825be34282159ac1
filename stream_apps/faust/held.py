"""A partition that this worker holds: its states, its clock, and how it is taken over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from olist.errors import PositionRefused
from stream_apps.app import FaustApp, Key
from stream_apps.faust.clock import Clock
from stream_apps.faust.memory import Remembered
from stream_apps.faust.moves import Moves
from stream_apps.faust.part import Part, Step
from stream_apps.faust.state import WORKER, Worker

MIXED = ""  # the code of a partition whose rows are being written anew: some may be the old version's, some the new's


@dataclass
class Held:
    """One partition number of every topic that the app reads."""

    number: int
    part: Part
    moves: Moves
    clock: Clock
    record: Worker

    def record_of(self, clock_us: int) -> tuple[Key, Worker]:
        """What to write down, and under which key, before the clock shows a time."""
        self.record.clock_us, self.record.reached = clock_us, dict(self.clock.reached)
        return WORKER, self.record

    def tick(self, clock_us: int, at_s: float) -> Iterator[Step]:
        """Let time pass. The clock's new time is written down already."""
        self.clock.now_us = clock_us
        return self.part.tick(clock_us, at_s)


def take_over(app: FaustApp[Any], number: int, remembered: Remembered, code: str, topics: Mapping[str, str]) -> Held:
    """Go on from what is remembered of a partition.

    Raises:
        PositionRefused: positions are of topics that have been made anew since.
    """
    record = remembered.worker or Worker()
    for table, known in record.topics.items():
        if topics.get(table, known) != known:
            raise PositionRefused(
                f"{app.name}: the topic of {table} is another one than the one that the state was made of",
                hint="rebuild the app from the topics as they are now",
            )
    part = Part(app, record.clock_us, remembered.entries)
    moves = Moves(remembered.whereabouts)
    clock = Clock(record.clock_us, dict(record.reached))
    version = record.code if remembered.worker or remembered.entries else code
    return Held(number, part, moves, clock, Worker(version, {**record.topics, **topics}, record.clock_us))


def first_steps(held: Held, code: str, at_s: float) -> Iterator[Step]:
    """What is to be written when a partition was taken over, and the timers that fell due meanwhile."""
    held.moves.recovered()
    yield from held.part.recovered(at_s)
    if held.record.code != code:
        yield from held.part.all_rows()
