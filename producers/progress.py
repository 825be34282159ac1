"""How far a run is, and what a user sees of it: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from olist.stop_signals import on_first_signal

BAR_REFRESH_S = 0.2
LINE_EVERY_S = 5.0


@dataclass
class Progress:
    """How far a run is; a display reads it whenever it likes."""

    total: int
    acknowledged: int = 0
    event_us: int | None = None
    trouble: str = ""
    stopped_by: int | None = None  # a signal's number
    started_s: float = field(default_factory=time.monotonic)


@contextmanager
def shown(progress: Progress, console: Console) -> Iterator[None]:
    """Show progress on the console until the block ends."""
    done = threading.Event()
    target = _draw_bar if console.is_terminal else _print_lines
    thread = threading.Thread(target=target, args=(progress, console, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def stopping(progress: Progress, waits_for: str) -> Iterator[None]:
    """The first SIGINT or SIGTERM asks the run to end in order, which waits for something; the next ends it at once."""

    def stop(number: int) -> None:
        progress.stopped_by = number
        click.echo(f"stopping: waiting for {waits_for} (once more to leave at once)", err=True)

    with on_first_signal(stop):
        yield


def described(progress: Progress, now_s: float) -> str:
    """One line: the time reached in the data, the speed, and what is wrong if anything is."""
    rate = progress.acknowledged / max(now_s - progress.started_s, 1e-3)
    reached = "" if progress.event_us is None else f"{event_time(progress.event_us)}  "
    trouble = f"  waiting: {progress.trouble}" if progress.trouble else ""
    return f"{reached}{rate:,.0f} changes/s{trouble}"


def event_time(event_us: int) -> str:
    """The shop's local time, to the second."""
    return datetime.fromtimestamp(event_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _draw_bar(progress: Progress, console: Console, done: threading.Event) -> None:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=progress.total)
        while not done.wait(BAR_REFRESH_S):
            bar.update(task, completed=progress.acknowledged, description=described(progress, time.monotonic()))
        bar.update(task, completed=progress.acknowledged, description=described(progress, time.monotonic()))


def _print_lines(progress: Progress, console: Console, done: threading.Event) -> None:
    while not done.wait(LINE_EVERY_S):
        line = described(progress, time.monotonic())
        console.print(f"replay: {progress.acknowledged:,} of {progress.total:,}  {line}", highlight=False)
