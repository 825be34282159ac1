"""Wait until a connector is as it was asked to be, or say why it will not be."""

from __future__ import annotations

import time
from collections.abc import Callable

from connect.worker import Status, Worker
from olist.errors import ServerTrouble

WITHIN_S = 90.0
PAST_S = 15.0  # a restart that fails in the same words again is told after this
LOOK_EVERY_S = 0.2


def until(worker: Worker, name: str, fits: Callable[[Status | None], bool], what: str) -> None:
    """Look until the status fits.

    Raises:
        ServerTrouble: it takes too long; with the trace of a part that failed, if one did.
    """
    deadline = time.monotonic() + WITHIN_S
    while not fits(status := worker.status(name)):
        if time.monotonic() > deadline:
            if status is not None and status.trace:
                raise failed(status)
            raise ServerTrouble("connect", f"{name} is not {what} after {WITHIN_S:g} s: {told(status)}")
        time.sleep(LOOK_EVERY_S)


def until_running(worker: Worker, name: str, *, past: str = "") -> None:
    """Until the connector and its tasks run.

    `past` is the trace from before a restart, which the worker accepts before it begins it: it counts for as long as
    nothing else was seen only after `PAST_S`.

    Raises:
        ServerTrouble: a part failed, with its trace, at once; or it takes too long.
    """
    ignored, settled = past, time.monotonic() + PAST_S

    def runs(status: Status | None) -> bool:
        nonlocal ignored
        trace = "" if status is None else status.trace
        if trace != ignored or time.monotonic() > settled:
            ignored = ""
        if status is not None and trace and not ignored:
            raise failed(status)
        return status is not None and status.running

    until(worker, name, runs, "running")


def until_idle(worker: Worker, name: str) -> None:
    """Until no task is left. A trace that an earlier task left does not matter."""
    until(worker, name, lambda status: status is not None and not status.tasks, "stopped")


def until_paused(worker: Worker, name: str) -> None:
    """Until all parts are paused."""
    paused = {"PAUSED"}
    until(worker, name, lambda s: s is not None and {p.state for p in (s.connector, *s.tasks)} == paused, "paused")


def until_gone(worker: Worker, name: str) -> None:
    """Until nobody knows it any more."""
    until(worker, name, lambda status: status is None, "gone")


def failed(status: Status) -> ServerTrouble:
    """A failed connector's own words: the innermost cause, then all of it."""
    return ServerTrouble(
        "connect",
        f"{status.name} failed: {cause(status.trace)}\n{status.trace.rstrip()}",
        hint="mend the cause; `olist connect restart`",
    )


def cause(trace: str) -> str:
    """What a Java trace says last of why, without the exceptions that wrap it."""
    first, *others = [line for line in trace.splitlines() if not line.startswith((" ", "\t"))] or [""]
    return ([line for line in others if line.startswith("Caused by: ")] or [first])[-1].removeprefix("Caused by: ")


def told(status: Status | None) -> str:
    """Its states in one line."""
    if status is None:
        return "not there"
    tasks = ", ".join(f"task {task.id} {task.state}" for task in status.tasks) or "no task"
    return f"connector {status.connector.state}, {tasks}"
