"""How far a consumer group is behind the topics it reads: the same for both engines, from what the group committed.

Offsets have holes. A transaction leaves a marker behind its last record, so the distance to the end may never become
zero although nothing is left to read; therefore short distances are read, and their records counted: those of all
topics at once, since what takes time is the broker's word that there is no more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_states
from olist.topics.reader import SOON_S, Offsets, Where, heads, read_partitions
from stream_apps.consumer_groups import committed

SHORT = 1000
"""Distances up to this many offsets are read and counted."""


class Lag(msgspec.Struct, frozen=True):
    """`records` still to be read, an upper bound where they are many. `oldest_s` is for how long the oldest of them has
    waited (0 when there is none): how stale the app's rows may be."""

    records: int
    oldest_s: float


def lag(settings: Settings, group: str, topics: Iterable[str]) -> Lag:
    """Where the group stands.

    Raises:
        ServerTrouble: Kafka does not answer.
        Stopped: there is no such topic.
    """
    states = topic_states(admin_client(settings), topics).values()
    behind = distances(states, committed(settings, group, states))
    ends = {(state.topic, p): end for state in states for p, end in state.end.items()}
    short = {where: ends[where] - distance for where, distance in behind.items() if distance <= SHORT}
    long = {where: ends[where] - distance for where, distance in behind.items() if distance > SHORT}
    read = [one for some in read_partitions(settings, short, ends, within_s=SOON_S) for one in some]
    times = [record.timestamp()[1] for record in (*read, *heads(settings, long))]
    oldest_s = max(0.0, time.time() - min(times) / 1000) if times else 0.0
    return Lag(len(read) + sum(behind[where] for where in long), oldest_s)


def distances(states: Iterable[TopicState], stands: Offsets) -> dict[Where, int]:
    """Offsets between where the group stands and the end, for the partitions where there are any."""
    found: dict[Where, int] = {}
    for state in states:
        for p, end in state.end.items():
            first = max(stands.get((state.topic, p), 0), state.first[p])
            if end > first:
                found[state.topic, p] = end - first
    return found


def is_as_far(old: Offsets, new: Offsets, states: Iterable[TopicState]) -> bool:
    """True if `new` is nowhere behind `old`. What is no longer on a topic need not be read.

    Where Kafka does not know how far the old one was (it forgets a group that rests), nobody can tell: no.
    """
    return all(
        end == state.first[p] or max(new.get((state.topic, p), 0), state.first[p]) >= old.get((state.topic, p), end)
        for state in states
        for p, end in state.end.items()
    )
