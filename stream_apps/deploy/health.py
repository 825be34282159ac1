"""When is what was started well? Decided from what is seen and for how long one has looked; no clock, no I/O."""

from __future__ import annotations

from typing import Literal

from stream_apps.deploy.engine import Sight

HOPELESS_AFTER = 3
"""Restarts by the engine itself, each with an exception, after which a version that never settled is given up."""

Health = Literal["healthy", "unhealthy", "undecided"]


def judge(sight: Sight, waited_s: float, within_s: float) -> Health:
    """Healthy once settled; unhealthy when it ended, keeps failing, or takes too long."""
    if sight.settled:
        return "healthy"
    if sight.phase == "failed":
        return "unhealthy"
    if sight.phase == "failing" and sight.restarts >= HOPELESS_AFTER:
        return "unhealthy"
    return "unhealthy" if waited_s >= within_s else "undecided"


def reason(sight: Sight, waited_s: float) -> str:
    """Why a version was not found healthy."""
    told = f"{sight.phase} after {waited_s:.0f} s"
    if sight.restarts:
        told += f", restarted {sight.restarts} times"
    return f"{told}: {sight.error}" if sight.error else f"{told}, without an exception"
