"""Put together: a job file and its plan become a running job, and the job is well or it is not."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.servers.flink_config import flink_environment
from stream_apps.engine import Checkpoint, Observation, Phase
from stream_apps.flink.job import DRIVER
from stream_apps.flink.rest import BETWEEN_LOOKS_S, Flink
from stream_apps.flink.rest_models import Exceptions, JobState

PROGRAM_DRIVER = "org.apache.flink.client.python.PythonDriver"


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
    with _alone(settings):
        return flink.run(jar, PROGRAM_DRIVER, [*program, "execute", *files], resume=resume, parallelism=parallelism)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One program at a time in the JobManager, whoever submits it.

    PyFlink keeps the gateway to a program in a static field there: while one runs, others are refused with no more than
    an IllegalArgumentException, and the one that runs may hang. After a JobManager's death all apps want to begin.
    """
    lock = settings.home.resolve() / "flink" / "submission.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # whoever holds it gives up after the request's own deadline
        yield


def observe_job(flink: Flink, job: str) -> Observation:
    """A job as the cluster describes it now."""
    found = flink.job(job)
    if found is None:
        return Observation(phase="absent")
    return observation_of(found, flink.checkpoint(job), flink.exceptions(job))


def observation_of(job: JobState, checkpoint: Checkpoint | None, failures: Exceptions) -> Observation:
    """What the cluster's answers add up to; pure.

    It is settled when all runs, and nothing failed since its first completed checkpoint. `restarts` counts what failed,
    `error` is the newest failure's stack trace, `checkpoint` the newest completed one.

    A state that does not fit is found only when it is read, after the job was RUNNING for a moment; a checkpoint can
    complete only when every operator has opened its state. So it takes both.
    """
    complete_at = checkpoint.at if checkpoint else 0.0
    settled = job.all_running and complete_at > max(failures.at, job.started)
    phase: Phase = "running" if job.all_running else "starting"
    if job.ended:
        phase = "failed"
    elif failures.count and (failures.at > complete_at or job.state in ("RESTARTING", "FAILING")):
        phase = "failing"
    return Observation(
        phase=phase,
        settled=settled,
        restarts=failures.count,
        error=failures.newest,
        since=job.started,
        checkpoint=checkpoint,
    )


def wait_healthy(flink: Flink, job: str, within_s: float) -> Observation:
    """Wait until a job is settled.

    Raises:
        StackError: it failed, is gone, or was not settled in time, with its newest exception.
    """
    deadline = monotonic() + within_s
    while not (found := observe_job(flink, job)).settled:
        if found.phase in ("failed", "absent") or monotonic() >= deadline:
            raise StackError(f"job {job} is {found.phase}: {found.error or 'no exception'}")
        sleep(BETWEEN_LOOKS_S)
    return found
