"""What falls due when: one next time per key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from stream_apps.app import Key


@dataclass
class Timers:
    """Keys by the event time at which they are to be looked at. Setting a key's time again replaces it."""

    _heap: list[tuple[int, Key]] = field(default_factory=list)
    _due: dict[Key, int] = field(default_factory=dict)

    def set(self, key: Key, due_us: int | None) -> None:
        """Look at a key at a time, or not at all."""
        if due_us == self._due.get(key):
            return
        if due_us is None:
            del self._due[key]
            return
        self._due[key] = due_us
        heappush(self._heap, (due_us, key))

    def take_due(self, clock_us: int) -> Iterator[Key]:
        """Every key whose time has come, in the order of the times; it has no time until it is set again."""
        while self._heap and self._heap[0][0] <= clock_us:
            due_us, key = heappop(self._heap)
            if self._due.get(key) == due_us:  # else it was set to another time since
                del self._due[key]
                yield key

    def __len__(self) -> int:
        return len(self._due)
