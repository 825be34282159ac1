"""How the stack looks on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import psutil
from rich import progress as bars
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from olist.stack.doctor import Finding
from olist.stack.servers.install import Progress
from olist.stack.servers.server import ServerState

COLOURS = {
    "ready": "green",
    "external": "cyan",
    "starting": "yellow",
    "waiting": "yellow",
    "crashed": "red",
    "unreachable": "red",
    "stopped": "dim",
}

LEVELS = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def states_table(states: Iterable[ServerState]) -> Table:
    """One row per server."""
    table = Table(
        "server", "state", "address", "version", "pid", "memory", "cpu", "since", box=None, header_style="bold"
    )
    for state in states:
        pid = "" if state.pid is None else str(state.pid)
        since = "" if not state.since else time.strftime("%H:%M:%S", time.localtime(state.since))
        phase = f"[{COLOURS[state.phase]}]{state.phase}[/]" + (f" ({escape(state.reason)})" if state.reason else "")
        table.add_row(state.name, phase, escape(state.endpoint), state.version, pid, *resources(state.pid), since)
    return table


def findings_table(findings: Iterable[Finding]) -> Table:
    """One row per thing looked at, with the way out where there is one to take."""
    table = Table("check", "", "found", "way out", box=None, header_style="bold")
    for one in findings:
        table.add_row(one.check, f"[{LEVELS[one.level]}]{one.level}[/]", escape(one.found), escape(one.way_out))
    return table


def resources(pid: int | None) -> tuple[str, str]:
    """Resident memory and CPU seconds of a process and its children, as shown."""
    if pid is None:
        return "", ""
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
        memory = sum(one.memory_info().rss for one in tree)
        cpu = sum(sum(one.cpu_times()[:2]) for one in tree)
    except psutil.Error:
        return "", ""
    return f"{memory / 1e6:.0f} MB", f"{cpu:.1f} s"


class LiveProgress(Progress):
    """Downloads as a bar, servers as a table that changes in place; plain lines where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live: Live | None = None
        self.shown: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    @contextmanager
    def downloads(self, files: int, size: int) -> Iterator[Callable[[int], None]]:
        """One bar over all files."""
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.DownloadColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self.console) as bar:
            task = bar.add_task(f"downloading {files} files", total=size)
            yield lambda count: bar.advance(task, count)

    def servers(self, states: Mapping[str, ServerState]) -> None:
        """Show them all, again."""
        if not self.console.is_interactive:
            return self._changes(states)
        if self.live is None:
            self.live = Live(console=self.console, refresh_per_second=8, transient=True)
            self.live.start()
        self.live.update(states_table(states.values()))
        return None

    def _changes(self, states: Mapping[str, ServerState]) -> None:
        for name, state in states.items():
            if self.shown.get(name) != state.phase:
                self.console.print(f"{name} {state.phase}", highlight=False)
                self.shown[name] = state.phase
