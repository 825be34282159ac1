"""How old a change is when it can be read from a target: from its Kafka timestamp to the row, at a steady rate.

The sink is the real command with its defaults. A target is looked at every few milliseconds for how far it can be read:
the lake by its catalog's pointer, the warehouse by its positions, which move in the rows' transaction, the index by the
highest offset that a search finds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

import msgspec
import numpy as np

from benchmarks.readable import Readable, readable
from benchmarks.topic import TopicWriter
from olist.errors import StackError
from olist.settings import Settings

RATE_PER_S = 1_000
SECONDS = 30.0
WARM_UP_S = 0.5  # first: the sink has started when these changes are readable
WITHIN_S = 180.0


class Freshness(msgspec.Struct):
    """Milliseconds from a record's Kafka timestamp to its row being readable, over all records of the run."""

    target: str
    records: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


class Seen(msgspec.Struct):
    """How far a target could be read at a moment: per partition the next offset, milliseconds since 1970."""

    at_ms: float
    next: dict[int, int]


def freshness(settings: Settings, target: str, writer: TopicWriter) -> Freshness:
    """Write at the rate while the target's sink runs, and watch."""
    table = writer.mix.contract
    command = [sys.executable, "-m", "olist", "sink", "run", target, "--tables", table.table]
    with readable(target, table, settings) as look:
        sink = subprocess.Popen(command, env=settings.environment())
        try:
            with _watched(look) as seen:
                _until(sink, seen, writer.pace(RATE_PER_S, WARM_UP_S).ends)
                written = writer.pace(RATE_PER_S, SECONDS)
                _until(sink, seen, written.ends)
        finally:
            sink.terminate()
            sink.wait(30)
    ages = ages_ms(written.stamps, seen)
    p50, p99, worst = np.percentile(ages, (50, 99, 100))
    return Freshness(target, len(ages), float(p50), float(p99), float(worst))


@contextmanager
def _watched(look: Readable) -> Iterator[list[Seen]]:
    """What a thread sees of the target, while the block runs."""
    seen, stopping = [Seen(0.0, {})], Event()

    def watch() -> None:
        while not stopping.wait(look.every_s):
            if found := look.news():
                seen.append(Seen(time.time() * 1000 - found.late_ms, found.next))

    thread = Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stopping.set()
        thread.join()


def _until(sink: subprocess.Popen[bytes], seen: list[Seen], ends: dict[int, int]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while any(seen[-1].next.get(partition, 0) < end for partition, end in ends.items()):
        if sink.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the sink was to reach {ends} and stands at {seen[-1].next}")
        time.sleep(0.1)


def ages_ms(stamps: Sequence[tuple[int, int, int]], seen: Sequence[Seen]) -> list[float]:
    """Each record's age when it was first seen: `stamps` are (partition, offset, milliseconds since 1970)."""
    times = np.array([moment.at_ms for moment in seen])
    reached = {p: np.array([moment.next.get(p, 0) for moment in seen]) for p in {stamp[0] for stamp in stamps}}
    return [
        float(times[np.searchsorted(reached[partition], offset, side="right")] - stamp)
        for partition, offset, stamp in stamps
    ]
