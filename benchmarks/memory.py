"""The most memory that a process had."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_mb() -> float:
    """Megabytes that this program had resident at most.

    Not by getrusage on Linux: its figure survives exec, so a child would begin at what its parent had.
    """
    if sys.platform == "linux":
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
