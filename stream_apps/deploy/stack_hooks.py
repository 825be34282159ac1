"""Begin and end the supervisor of a home's apps. `olist up` and `olist down` call `begin` and `end` by entry point.

The supervisor is one detached process per home that holds a lock for as long as it lives. Killed, it harms nothing:
jobs and workers go on, and the next `olist apps` command begins it again when something is wanted.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.home import Home
from olist.stack.processes import last_lines, spawn
from olist.stack.servers.server import Launch
from stream_apps.deploy.store import apps_folder, deployments
from stream_apps.faust.worker_processes import end_processes, workers_within
from stream_apps.records import Record

LOG = "apps-keeper"  # as it has been called from the first release on, as its lock's folder
FLINK_SERVERS = ("jobmanager", "taskmanager")
BEGINS_WITHIN_S = 30.0
ENDS_WITHIN_S = 30.0
CHECK_EVERY_S = 0.05


def supervisor_home(settings: Settings) -> Home:
    """Where the supervisor's lock lies."""
    return Home(apps_folder(settings) / ".keeper")


def supervisor_pid(settings: Settings) -> int | None:
    """Pid of the living supervisor of this home's apps."""
    return supervisor_home(settings).supervisor()


def needs(settings: Settings) -> Sequence[str]:
    """Flink's two processes, where a Flink app is wanted."""
    return FLINK_SERVERS if any(record.engine == "flink" for record in _wanted(settings)) else ()


def begin(settings: Settings) -> None:
    """Begin the supervisor when something is wanted here and none lives; return when it does.

    Raises:
        StackError: it ended at once; its log's last lines are told.
    """
    if supervisor_pid(settings) is not None or not any(_wanted(settings)):
        return
    absolute = settings.model_copy(update={"home": settings.home.resolve(), "cache": settings.cache.resolve()})
    supervisor_home(absolute).make()
    log = Home(absolute.home).log(LOG)
    launch = Launch(
        (sys.executable, "-P", "-m", "stream_apps.deploy.supervisor"), cwd=absolute.home, env=absolute.environment()
    )
    process = spawn(launch, log, None)
    began = _until(lambda: supervisor_pid(settings) is not None or process.poll() is not None, BEGINS_WITHIN_S)
    if not began or supervisor_pid(settings) is None:
        tail = "\n".join(last_lines(log, 15))
        raise StackError(f"the supervisor of the apps did not begin:\n{tail}", hint="`olist apps status` tries again")


def end(settings: Settings) -> None:
    """End the supervisor and the workers of every app; what is wanted stays wanted."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        pid = supervisor_pid(settings)
        if pid is None:
            break
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        _until(lambda: supervisor_pid(settings) is None, ENDS_WITHIN_S)
    end_workers(settings)


def data(settings: Settings) -> list[Path]:
    """Every deployment of a home: without the servers' data there is nothing to go on from."""
    return [apps_folder(settings)]


def end_workers(settings: Settings) -> None:
    """End every worker process of this home, with or without a supervisor, written down or not."""
    end_processes(workers_within(f"{apps_folder(settings)}/"))


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
        time.sleep(CHECK_EVERY_S)
    return True
