"""How a process that runs until it is told to end hears of it."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from threading import Event

ASKED_TO_END = (signal.SIGTERM, signal.SIGINT)


def set_on_signal(stopping: Event, signals: Iterable[signal.Signals] = ASKED_TO_END) -> None:
    """Let signals set an event instead of ending the process. Call it from the main thread."""
    for number in signals:
        signal.signal(number, lambda *_: stopping.set())
