"""How a process that runs until it is told to end hears of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

ASKED_TO_END = (signal.SIGTERM, signal.SIGINT)


def set_on_signal(stopping: Event, signals: Iterable[signal.Signals] = ASKED_TO_END) -> None:
    """Let signals set an event instead of ending the process. Call it from the main thread."""
    for number in signals:
        signal.signal(number, lambda *_: stopping.set())


@contextmanager
def on_first_signal(stop: Callable[[int], None]) -> Iterator[None]:
    """Call `stop` with the number of the first SIGINT or SIGTERM; the next one ends the process as it always does."""
    before: dict[int, object] = {}

    def handle(number: int, _frame: FrameType | None) -> None:
        restore()
        stop(number)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal itself returned

    for number in ASKED_TO_END:
        before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
