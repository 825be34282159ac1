"""Put together: a job file and its plan become a running job, and the job is well or it is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Literal

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.flink_env import flink_environment
from stream_apps.flink.job import DRIVER
from stream_apps.flink.rest import BETWEEN_LOOKS_S, Flink

PROGRAM_DRIVER = "org.apache.flink.client.python.PythonDriver"

Phase = Literal["absent", "starting", "running", "failing", "failed"]


def submit(
    settings: Settings, flink: Flink, job: Path, plan: Path | None = None, *, resume: str = "", parallelism: int = 1
) -> str:
    """Submit a job file, by its compiled plan if there is one; the job's id. Returns before it runs.

    The program runs inside the JobManager, so both files must be readable there.

    Raises:
        StackError: the cluster refused it, with its reason.
        ServerTrouble: it did not answer.
    """
    environment = flink_environment(settings)
    jar = flink.jar(environment.python_jar)
    program = ["-pyclientexec", str(environment.python), "-pyexec", str(environment.python), "-py", str(DRIVER)]
    files = [str(path.resolve()) for path in (job, plan) if path is not None]
    return flink.run(jar, PROGRAM_DRIVER, [*program, "execute", *files], resume=resume, parallelism=parallelism)


@dataclass(frozen=True)
class Look:
    """A job at one moment. `settled` is healthy: all runs, and nothing failed since its first completed checkpoint.

    `restarts` counts what failed; `error` is the newest failure's stack trace.
    """

    phase: Phase
    settled: bool = False
    restarts: int = 0
    error: str = ""
    since: float = 0.0


def look(flink: Flink, job: str) -> Look:
    """See how a job is.

    A state that does not fit is found only when it is read, after the job was RUNNING for a moment; a checkpoint can
    complete only when every operator has opened its state. So it takes both.
    """
    found = flink.job(job)
    if found is None:
        return Look("absent")
    failures = flink.exceptions(job)
    if found.ended:
        return Look("failed", restarts=failures.count, error=failures.newest, since=found.started)
    checkpoint = flink.checkpoint(job)
    settled = found.all_running and checkpoint is not None and checkpoint.at > max(failures.at, found.started)
    recovering = found.state in ("RESTARTING", "FAILING") or failures.at > (checkpoint.at if checkpoint else 0.0)
    phase: Phase = "running" if found.all_running else "starting"
    if failures.count and recovering:
        phase = "failing"
    return Look(phase, settled, failures.count, failures.newest, found.started)


def wait_healthy(flink: Flink, job: str, within_s: float) -> Look:
    """Wait until a job is settled.

    Raises:
        StackError: it failed, is gone, or was not settled in time, with its newest exception.
    """
    deadline = monotonic() + within_s
    while not (seen := look(flink, job)).settled:
        if seen.phase in ("failed", "absent") or monotonic() >= deadline:
            raise StackError(f"job {job} is {seen.phase}: {seen.error or 'no exception'}")
        sleep(BETWEEN_LOOKS_S)
    return seen
