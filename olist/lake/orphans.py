"""How old a file that nothing refers to must be before it may be swept, and so how old uncommitted files may grow.

A sweep tells files that wait for their commit from orphans by age alone. A writer that was paused between the two
(SIGSTOP, a machine put to sleep) for longer than that would commit files that are gone, so it writes them anew instead.
"""

from __future__ import annotations

import time

LEAST_AGE_MS = 86_400_000
MOST_UNCOMMITTED_MS = LEAST_AGE_MS // 2  # the other half is for clocks that differ, and for the commit itself


def wall_ms() -> int:
    """Now, by the clock that a machine's sleep does not stop."""
    return time.time_ns() // 1_000_000


def may_be_swept(begun_ms: int, now_ms: int) -> bool:
    """Whether uncommitted files, the first of them begun at `begun_ms`, are too old to be committed."""
    return now_ms - begun_ms > MOST_UNCOMMITTED_MS
