"""Worker processes of this machine: known by their arguments, by pid and start time; and how they are ended."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

import psutil

from stream_apps.records import Worker

STATUS = "--status"
"""The argument by which a worker's process is known: the file of its own that it tells its status in."""
END_WITHIN_S = 15.0


def workers_within(status: str) -> list[Worker]:
    """The processes that tell their status in a file whose path begins so.

    A worker is written down only once it was started: one whose starter was killed in between is known by this alone.
    """
    found = []
    for process in psutil.process_iter(["cmdline", "create_time"]):
        arguments = process.info["cmdline"] or ()  # None of a process that may not be looked into
        if any(pair[0] == STATUS and pair[1].startswith(status) for pair in pairwise(arguments)):
            found.append(Worker(process.pid, process.info["create_time"]))
    return found


def alive(worker: Worker) -> psutil.Process | None:
    """Its process, unless that has ended: a zombie has, and so has a process whose pid another has now."""
    try:
        process = psutil.Process(worker.pid)
        same = abs(process.create_time() - worker.created) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def end_processes(workers: Iterable[Worker]) -> None:
    """Ask all at once, kill what is left after the deadline that they share."""
    asked = [process for worker in workers if (process := alive(worker)) is not None]
    for process in asked:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _gone, left = psutil.wait_procs(asked, timeout=END_WITHIN_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=END_WITHIN_S)
