"""Event time from what the source partitions have reached.

A worker broadcasts to every partition how far the source partitions that it reads have come. A partition's clock is
the least of these commit times, those aside that have brought nothing new for a while; when none brings anything, the
greatest. It never goes back. So it waits for a source partition that is behind, does not wait for ever for one that
is silent, and comes to the same end whatever the order of arrival was.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from stream_apps.app import Key

WATERMARKS: Key = ("@watermarks",)  # the key of watermark records; no space may begin like this
IDLE_S = 5.0  # wall time without news after which a source partition is not waited for

Watermarks = dict[str, int]
"""Source partition (`source_name`) -> the commit time that it has reached, microseconds since 1970."""

_WATERMARKS = msgspec.json.Decoder(dict[str, int])


def source_name(table: str, partition: int) -> str:
    """What states and clocks call a source partition."""
    return f"{table}/{partition}"


def encode_watermarks(watermarks: Watermarks) -> bytes:
    """The value of a watermark record."""
    return msgspec.json.encode(watermarks)


def decode_watermarks(value: bytes | None) -> Watermarks:
    """The inverse of `encode_watermarks`."""
    return _WATERMARKS.decode(value or b"{}")


@dataclass
class WatermarkClock:
    """One partition's event time. All wall times are given, in seconds."""

    now_us: int = 0
    reached: Watermarks = field(default_factory=dict)
    idle_s: float = IDLE_S
    _advanced_s: dict[str, float] = field(default_factory=dict)

    def expect(self, sources: Iterable[str], at_s: float) -> None:
        """Wait for these source partitions, as if they had advanced now."""
        self._advanced_s.update(dict.fromkeys(sources, at_s))

    def observe(self, watermarks: Watermarks, at_s: float) -> None:
        """Take what source partitions have reached; only a later time than the known one counts as an advance."""
        for source, us in watermarks.items():
            if us > self.reached.get(source, 0):
                self.reached[source] = us
                self._advanced_s[source] = at_s

    def next_us(self, at_s: float) -> int:
        """What the clock should show; the caller sets `now_us` once that is written down."""
        live = [source for source, advanced_s in self._advanced_s.items() if advanced_s > at_s - self.idle_s]
        times = [self.reached.get(source, 0) for source in live]
        return max(self.now_us, min(times) if times else max(self.reached.values(), default=0))
