"""Begin and end the keeper of a home. `olist up` and `olist down` call `begin` and `end` by entry point.

The keeper is one detached process per home that holds a lock for as long as it lives. Killed, it harms nothing: jobs
and workers go on, and the next `olist apps` command begins it again when something is wanted.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.home import Home
from olist.stack.processes import last_lines, spawn
from olist.stack.server import Launch
from stream_apps.deploy.folder import apps_folder, deployments
from stream_apps.deploy.record import Record, Worker
from stream_apps.deploy.servers import NAMES

KEEPER = "apps-keeper"
STATUS = "--status"
"""The argument by which a worker's process is known: the file of its own that it tells its status in."""
BEGINS_WITHIN_S = 30.0
ENDS_WITHIN_S = 30.0
WORKERS_END_WITHIN_S = 15.0
LOOK_EVERY_S = 0.05


def keeper_home(settings: Settings) -> Home:
    """Where the keeper's lock lies."""
    return Home(apps_folder(settings) / ".keeper")


def keeper(settings: Settings) -> int | None:
    """Pid of the living keeper."""
    return keeper_home(settings).supervisor()


def needs(settings: Settings) -> Sequence[str]:
    """Flink's two processes, where a Flink app is wanted."""
    return NAMES if any(record.engine == "flink" for record in _wanted(settings)) else ()


def begin(settings: Settings) -> None:
    """Begin the keeper when something is wanted here and none lives; return when it does.

    Raises:
        StackError: it ended at once; its log's last lines are told.
    """
    if keeper(settings) is not None or not any(_wanted(settings)):
        return
    absolute = settings.model_copy(update={"home": settings.home.resolve(), "cache": settings.cache.resolve()})
    keeper_home(absolute).make()
    log = Home(absolute.home).log(KEEPER)
    launch = Launch(
        (sys.executable, "-P", "-m", "stream_apps.deploy.keeper"), cwd=absolute.home, env=absolute.environment()
    )
    process = spawn(launch, log, None)
    began = _until(lambda: keeper(settings) is not None or process.poll() is not None, BEGINS_WITHIN_S)
    if not began or keeper(settings) is None:
        tail = "\n".join(last_lines(log, 15))
        raise StackError(f"the keeper of the apps did not begin:\n{tail}", hint="`olist apps status` tries again")


def end(settings: Settings) -> None:
    """End the keeper and the workers of every app; what is wanted stays wanted."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        pid = keeper(settings)
        if pid is None:
            break
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        _until(lambda: keeper(settings) is None, ENDS_WITHIN_S)
    end_workers(settings)


def data(settings: Settings) -> list[Path]:
    """Every deployment of a home: without the servers' data there is nothing to go on from."""
    return [apps_folder(settings)]


def end_workers(settings: Settings) -> None:
    """End every worker process of this home, with or without a keeper, written down or not."""
    end_processes(workers_within(f"{apps_folder(settings)}/"))


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
    _gone, left = psutil.wait_procs(asked, timeout=WORKERS_END_WITHIN_S)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=WORKERS_END_WITHIN_S)


def _wanted(settings: Settings) -> Iterator[Record]:
    for deployment in deployments(settings).values():
        record = deployment.record()
        if record is not None and record.target == "local" and (record.wanted == "running" or record.trying):
            yield record


def _until(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
