"""How apps and their deployments look on a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from stream_apps.deploy.status import AppStatus

COLOURS = {"running": "green", "starting": "yellow", "changing": "yellow", "stopped": "dim"}
ERROR_CHARACTERS = 160
HEADERS = ("app", "engine", "state", "ver", "up", "lag", "stale", "restarts", "checkpoint")


def apps_table(described: Sequence[Mapping[str, Any]]) -> Table:
    """One row per app: what `olist apps list -o json` says of it."""
    table = Table("app", "engine", "reads", "writes", "deployed", box=None, header_style="bold")
    for one in described:
        table.add_row(one["name"], one["engine"], ", ".join(one["reads"]), ", ".join(one["writes"]), one["deployed"])
    return table


def status_report(found: Sequence[AppStatus], now: float) -> tuple[Table, list[Text]]:
    """One row per deployed app in 80 columns, and what is wrong: in full while it is not as wanted."""
    table = Table(*HEADERS, box=None, header_style="bold", pad_edge=False, collapse_padding=True)
    for one in found:
        table.add_row(
            one.name,
            one.engine if one.parallelism == 1 else f"{one.engine} x{one.parallelism}",
            f"[{COLOURS.get(one.state, 'red')}]{one.state}[/]",
            str(one.version),
            age(now - one.since),
            "?" if one.lag is None else f"{one.lag:,}",
            "?" if one.freshness_s is None else age(one.freshness_s),
            str(one.restarts),
            checkpoint(one),
        )
    return table, [Text(f"{one.name}: {_problem(one)}", style="red") for one in found if one.error]


def _problem(one: AppStatus) -> str:
    return one.error.splitlines()[0][:ERROR_CHARACTERS] if one.is_as_wanted else one.error


def checkpoint(one: AppStatus) -> str:
    """Age and size of the newest."""
    if one.checkpoint_age_s is None:
        return ""
    size = "" if one.checkpoint_bytes is None else f" {one.checkpoint_bytes / 1e6:.1f} MB"
    return f"{age(one.checkpoint_age_s)}{size}"


def age(seconds: float) -> str:
    """In the largest unit that fits: 40 s, 12 min, 5 h, 3 d."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


class ProgressView:
    """Progress on stderr: lines, and a bar while a version catches up. Without a terminal, a line now and then."""

    SAY_EVERY_S = 5.0

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.total = 0
        self.said = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def __call__(self, line: str, *, behind: int | None = None) -> None:
        """A line, or how many records are still to be read."""
        if behind is None:
            self._stop()
            self.console.print(line, highlight=False, markup=False)
        elif self.console.is_terminal:
            self._advance(behind)
        elif time.monotonic() - self.said > self.SAY_EVERY_S:
            self.said = time.monotonic()
            self.console.print(f"{behind:,} records behind", highlight=False)

    def _advance(self, behind: int) -> None:
        if self.bar is None:
            columns = (TextColumn("catching up"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.total = behind
            self.task = self.bar.add_task("", total=behind)
        assert self.task is not None
        self.total = max(self.total, behind)
        self.bar.update(self.task, total=self.total, completed=self.total - behind)

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
