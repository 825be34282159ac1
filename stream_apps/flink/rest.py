"""A client of Flink's REST API, as much of it as running apps needs. Source: Flink 2.2, "REST API".

Every call has a timeout. A refusal carries the server's own words; a server that is away is `ServerTrouble`, and may be
asked again: only `run` and `stop` are not harmless to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import requests

from olist.errors import ServerTrouble, StackError
from stream_apps.engine import Checkpoint
from stream_apps.flink.rest_models import (
    Exceptions,
    JobState,
    cause,
    exceptions,
    job_state,
    newest_checkpoint,
)

SERVER = "flink"
CONNECT_S, ANSWER_S = 5.0, 30.0
SUBMIT_S = 180.0
"""A submission plans the job in the JobManager: seconds, more on a busy machine."""
BETWEEN_LOOKS_S = 0.1


class Flink:
    """The cluster at one URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def jar(self, path: Path) -> str:
        """The id of an uploaded jar, uploading it when the cluster has none of that name."""
        for known in self._get("/jars")["files"]:
            if known["name"] == path.name:
                return str(known["id"])
        with path.open("rb") as content:
            answer = self._ask("POST", "/jars/upload", within_s=SUBMIT_S, files={"jarfile": (path.name, content)})
        return Path(str(answer["filename"])).name

    def run(self, jar: str, entry: str, arguments: list[str], *, resume: str = "", parallelism: int = 1) -> str:
        """Run a jar's program, which submits one job; the job's id.

        Raises:
            StackError: the program failed, with the cause it gave.
            ServerTrouble: no answer; a job may have been submitted all the same.
        """
        body: dict[str, Any] = {"entryClass": entry, "programArgsList": arguments, "parallelism": parallelism}
        if resume:
            body |= {"savepointPath": resume, "allowNonRestoredState": False}
        return str(self._ask("POST", f"/jars/{jar}/run", within_s=SUBMIT_S, json=body)["jobid"])

    def jobs(self) -> dict[str, str]:
        """Every job the cluster remembers, by id, with Flink's word for its state."""
        return {str(job["id"]): str(job["status"]) for job in self._get("/jobs")["jobs"]}

    def job(self, job: str) -> JobState | None:
        """One job, or None when the cluster knows none of that id (it forgets all when the JobManager dies)."""
        found = self._get(f"/jobs/{job}", or_none=True)
        return None if found is None else job_state(found)

    def checkpoint(self, job: str) -> Checkpoint | None:
        """The newest completed checkpoint, if there is one; its files may have made room for newer ones."""
        return newest_checkpoint(self._get(f"/jobs/{job}/checkpoints", or_none=True) or {})

    def exceptions(self, job: str) -> Exceptions:
        """What the job's attempts ended in."""
        return exceptions(self._get(f"/jobs/{job}/exceptions", or_none=True) or {})

    def savepoint(self, job: str, within_s: float, folder: str = "") -> str:
        """Write the job's state down while it goes on; the savepoint's path."""
        body = {"cancel-job": False, **({"target-directory": folder} if folder else {})}
        trigger = str(self._ask("POST", f"/jobs/{job}/savepoints", json=body)["request-id"])
        return self._savepoint_path(job, trigger, within_s)

    def stop(self, job: str, within_s: float, *, drain: bool = False, folder: str = "") -> str:
        """End a job after a savepoint, whose path it returns; with `drain`, all timers fire first.

        Raises:
            StackError: the savepoint failed, and the job goes on.
            ServerTrouble: it did not end in time, or there was no answer; it may still end, with a savepoint.
        """
        body = {"drain": drain, **({"targetDirectory": folder} if folder else {})}  # unlike a savepoint's
        trigger = str(self._ask("POST", f"/jobs/{job}/stop", json=body)["request-id"])
        path = self._savepoint_path(job, trigger, within_s)
        self._until_ended(job, within_s)
        return path

    def cancel(self, job: str, within_s: float) -> None:
        """End a job as it is and wait for its end; one that has ended, or is unknown, is left alone."""
        found = self.job(job)
        if found is None or found.ended:
            return
        self._ask("PATCH", f"/jobs/{job}?mode=cancel")
        self._until_ended(job, within_s)

    def _savepoint_path(self, job: str, trigger: str, within_s: float) -> str:
        deadline = monotonic() + within_s
        while monotonic() < deadline:
            found = self._get(f"/jobs/{job}/savepoints/{trigger}")
            if found["status"]["id"] == "COMPLETED":
                operation: Mapping[str, Any] = found["operation"]
                if "location" in operation:
                    return str(operation["location"])
                raise StackError(f"job {job}: no savepoint: {cause(str(operation['failure-cause']['stack-trace']))}")
            sleep(BETWEEN_LOOKS_S)
        raise ServerTrouble(SERVER, f"job {job}: no savepoint within {within_s:g} s; it may still come")

    def _until_ended(self, job: str, within_s: float) -> None:
        deadline = monotonic() + within_s
        while (found := self.job(job)) is not None and not found.ended:
            if monotonic() >= deadline:
                raise ServerTrouble(SERVER, f"job {job} is {found.state} still after {within_s:g} s")
            sleep(BETWEEN_LOOKS_S)

    def _get(self, path: str, *, or_none: bool = False) -> Any:
        return self._ask("GET", path, or_none=or_none)

    def _ask(self, method: str, path: str, *, within_s: float = ANSWER_S, or_none: bool = False, **what: Any) -> Any:
        try:
            answer = requests.request(method, f"{self.url}{path}", timeout=(CONNECT_S, within_s), **what)
        except requests.RequestException as error:
            raise ServerTrouble(SERVER, str(error), hint="`olist status` shows whether it runs") from error
        if answer.status_code == requests.codes.not_found and or_none:
            return None
        if answer.status_code == requests.codes.service_unavailable:
            raise ServerTrouble(SERVER, "it is starting, or has no leader")
        if not answer.ok:
            raise StackError(f"{SERVER}: {method} {path}: {_refusal(answer)}")
        return answer.json() if answer.content else {}


def _refusal(answer: requests.Response) -> str:
    try:
        return cause("\n".join(map(str, answer.json()["errors"])))
    except (requests.JSONDecodeError, KeyError):
        return f"{answer.status_code} {answer.reason}"
