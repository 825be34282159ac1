"""How a run that takes a while is asked to end in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from producers.replay import Progress


@contextmanager
def stop_signals(progress: Progress, waits_for: str = "Kafka's last acknowledgements") -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the run to end in order; the next one ends the process as it always does."""
    before: dict[int, object] = {}

    def stop(number: int, _frame: FrameType | None) -> None:
        progress.stopped_by = number
        restore()
        click.echo(f"stopping: waiting for {waits_for} (once more to leave at once)", err=True)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal itself returned

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        restore()
