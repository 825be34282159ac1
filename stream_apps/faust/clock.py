"""Event time from what the source partitions have said.

The clock is the least of the commit times that source partitions have reached, those aside that have said nothing new
for a while; when none says anything, the greatest. It never goes back. So it waits for a partition that is behind, does
not wait for ever for one that is silent, and comes to the same end whatever the order of arrival was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from stream_apps.faust.forwarding import Watermarks

IDLE_S = 5.0  # wall time without news after which a source partition is not waited for


@dataclass
class Clock:
    """One partition's clock. All wall times are given, in seconds."""

    now_us: int = 0
    reached: Watermarks = field(default_factory=dict)
    idle_s: float = IDLE_S
    _heard_s: dict[str, float] = field(default_factory=dict)

    def expect(self, sources: Iterable[str], at_s: float) -> None:
        """Wait for these sources to speak, as if they had done so now."""
        self._heard_s.update(dict.fromkeys(sources, at_s))

    def hear(self, watermarks: Watermarks, at_s: float) -> None:
        """Take what source partitions have reached; news only counts when it is later than what was known."""
        for source, us in watermarks.items():
            if us > self.reached.get(source, 0):
                self.reached[source] = us
                self._heard_s[source] = at_s

    def next_us(self, at_s: float) -> int:
        """What the clock should show; the caller sets `now_us` once that is written down."""
        live = [source for source, heard_s in self._heard_s.items() if heard_s > at_s - self.idle_s]
        times = [self.reached.get(source, 0) for source in live]
        return max(self.now_us, min(times) if times else max(self.reached.values(), default=0))
