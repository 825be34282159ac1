"""Wait for a condition: how long it takes depends on the machine, so only the deadline is fixed."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

DEADLINE_S = 240.0
BETWEEN_LOOKS_S = 0.05


def wait_until(condition: Callable[[], bool], what: str, within_s: float = DEADLINE_S) -> None:
    """Return once the condition holds; fail, naming what was awaited, after the deadline."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s:g} s in vain for {what}"
        Event().wait(BETWEEN_LOOKS_S)
