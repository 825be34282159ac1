"""Time that passes only when somebody pauses."""

from __future__ import annotations

from stream_apps.deploy.deployed_app import Clock


class StoppedClock:
    """Shows the same time until it is paused for a while; nobody waits."""

    def __init__(self, at_s: float = 0.0) -> None:
        self.at_s = at_s

    def now(self) -> float:
        return self.at_s

    def pause(self, seconds: float) -> None:
        self.at_s += seconds

    @property
    def clock(self) -> Clock:
        """For the deployer."""
        return Clock(self.now, self.now, self.pause)
