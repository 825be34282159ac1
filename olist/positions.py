"""Positions: how far a target has read a topic.

An entry says the **next** offset to read: one more than the last applied. Offsets have holes, so entries are compared,
never counted. A partition that was never read stands at 0.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import msgspec

from olist.errors import Fenced, PositionRefused, TargetRewound


class Positions(msgspec.Struct, frozen=True):
    """Partition -> next offset of one topic, by the topic's id: a re-created topic is another topic."""

    topic: str
    topic_id: str
    next: dict[int, int]

    @classmethod
    def start(cls, topic: str, topic_id: str, partitions: int) -> Positions:
        """Nothing read yet."""
        return cls(topic, topic_id, dict.fromkeys(range(partitions), 0))

    @classmethod
    def decode(cls, text: str | bytes) -> Positions:
        """From `encode`'s JSON."""
        return msgspec.json.decode(text, type=cls)

    def encode(self) -> str:
        """As JSON with sorted partitions, so that equal positions are equal text."""
        ordered = Positions(self.topic, self.topic_id, dict(sorted(self.next.items())))
        return msgspec.json.encode(ordered).decode()

    def of(self, partitions: Iterable[int]) -> dict[int, int]:
        """The entries of some partitions."""
        return {partition: self.next.get(partition, 0) for partition in partitions}

    def advanced(self, to: Mapping[int, int]) -> Positions:
        """These positions with some partitions moved.

        Raises:
            PositionRefused: a partition would move backward.
        """
        if back := {p: (self.next.get(p, 0), offset) for p, offset in to.items() if offset < self.next.get(p, 0)}:
            raise PositionRefused(f"{self.topic}: positions would move backward (partition: (from, to)): {back}")
        return Positions(self.topic, self.topic_id, {**self.next, **to})

    def expect_topic(self, where: str, expected: Positions) -> None:
        """Refuse to go on when the target holds another topic's positions than this process believes.

        Raises:
            Fenced: another process has begun anew on a re-created topic.
        """
        if self.topic_id != expected.topic_id:
            raise Fenced(
                f"{where}: another process has written it from topic id {self.topic_id} since this one last did "
                f"from {expected.topic_id}; nothing was written",
                hint="the topic was re-created; restart this process",
            )

    def expect(self, where: str, started: Mapping[int, int]) -> None:
        """Refuse to go on unless the target still stands where this process started from.

        Raises:
            TargetRewound: it stands before that in some of them, to which no writer would have moved it.
            Fenced: it does not; another process has committed for these partitions.
        """
        moved = {p: (offset, self.next.get(p, 0)) for p, offset in started.items() if self.next.get(p, 0) != offset}
        if moved:
            each = ", ".join(f"partition {p}: expected {ours}, found {found}" for p, (ours, found) in moved.items())
            if any(found < ours for ours, found in moved.values()):
                raise TargetRewound(
                    f"{where}: it stands before where this process left it in {self.topic} ({each}): "
                    "somebody emptied it, restored it or made it again; nothing was written",
                    hint="start again: reading goes on from what the target holds",
                )
            raise Fenced(
                f"{where}: another process has written {self.topic} since this one did ({each}); nothing was written",
                hint="this process was paused or cut off and has lost its partitions; restart it and it joins again",
            )


class TopicState(msgspec.Struct, frozen=True):
    """What the broker says of a topic now: its id, and per partition the first and the end offset."""

    topic: str
    topic_id: str
    first: dict[int, int]
    end: dict[int, int]


def check_topic(where: str, stored: Positions, now: TopicState, only: Container[int] | None = None) -> None:
    """Refuse positions that do not fit the topic as it is now.

    `only` names the partitions of this process: where others stand, and what their part of the topic holds, may have
    changed since either was looked at.

    Raises:
        PositionRefused: the topic was re-created, has other partitions, ends below the position or begins above it.
    """

    def mine(partition: int) -> bool:
        return only is None or partition in only

    way_out = (
        f"`olist sink rebuild {where}` empties the target and reads the topic from its beginning; "
        "a history of the topic as it was goes only `--with-history`"
    )
    if stored.topic_id != now.topic_id:
        raise PositionRefused(
            f"{where}: topic {now.topic} was re-created: its id is {now.topic_id}, the target holds {stored.topic_id}",
            hint=way_out,
        )
    if set(stored.next) != set(now.end):
        raise PositionRefused(
            f"{where}: topic {now.topic} has {len(now.end)} partitions, the target knows {len(stored.next)}; "
            "keys may have moved between partitions, so their order is lost",
            hint=way_out,
        )
    if lost := {p: (stored.next[p], first) for p, first in now.first.items() if mine(p) and 0 < stored.next[p] < first}:
        raise PositionRefused(
            f"{where}: topic {now.topic} begins above the target's position, so changes are lost "
            f"(partition: (position, first)): {lost}",
            hint=way_out,
        )
    if short := {p: (stored.next[p], end) for p, end in now.end.items() if mine(p) and end < stored.next[p]}:
        raise PositionRefused(
            f"{where}: topic {now.topic} ends below the target's position (partition: (position, end)): {short}",
            hint=way_out,
        )


def lag(stored: Positions | None, now: TopicState) -> int:
    """Offsets between a target's positions and the topic's end.

    Offsets have holes (transaction markers, compaction), so this is an upper bound of the changes still to come. The
    positions of another topic count nothing.
    """
    stands = stored.next if stored and stored.topic_id == now.topic_id else {}
    return sum(max(0, end - max(stands.get(p, 0), now.first[p])) for p, end in now.end.items())
