"""How fast: the changes that may be sent by now, and when the next one may. Time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MICROS_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class Pace:
    """Event seconds per second, changes per second, both, or neither: then as fast as it goes."""

    speed: float | None = None
    rate: float | None = None

    @property
    def waits(self) -> bool:
        """Whether there is anything to wait for."""
        return self.speed is not None or self.rate is not None

    def due(self, event_us: NDArray[np.int64], elapsed_s: float) -> int:
        """How many of the changes, in order from the first, may be sent after some seconds."""
        count = len(event_us)
        if self.rate is not None:
            count = min(count, int(elapsed_s * self.rate) + 1)
        if self.speed is not None and len(event_us):
            until = event_us[0] + elapsed_s * self.speed * MICROS_PER_SECOND
            count = min(count, int(np.searchsorted(event_us, until, side="right")))
        return count

    def due_at_s(self, event_us: NDArray[np.int64], index: int) -> float:
        """After how many seconds a change may be sent."""
        by_rate = index / self.rate if self.rate is not None else 0.0
        if self.speed is None:
            return by_rate
        return max(by_rate, float(event_us[index] - event_us[0]) / MICROS_PER_SECOND / self.speed)
