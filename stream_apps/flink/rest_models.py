"""What Flink's REST API answers, as values. Pure. Source: Flink 2.2, "REST API"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stream_apps.engine import Checkpoint

Json = Mapping[str, Any]

ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
CAUSES_TOLD = 3


@dataclass(frozen=True)
class Vertex:
    """One chain of operators of a job."""

    id: str
    name: str
    parallelism: int
    status: str


@dataclass(frozen=True)
class JobState:
    """A job as the cluster sees it: `state` is Flink's word (RUNNING, RESTARTING...), `started` Unix seconds."""

    id: str
    name: str
    state: str
    started: float
    vertices: tuple[Vertex, ...]

    @property
    def ended(self) -> bool:
        """Nothing more will come of it."""
        return self.state in ENDED

    @property
    def all_running(self) -> bool:
        """The job and each of its vertices."""
        return self.state == "RUNNING" and all(vertex.status == "RUNNING" for vertex in self.vertices)


@dataclass(frozen=True)
class Exceptions:
    """What a job's attempts ended in: how many are known, and the newest one's text and time (Unix seconds)."""

    count: int
    newest: str = ""
    at: float = 0.0


def job_state(answer: Json) -> JobState:
    """Of ``/jobs/ID``."""
    vertices = tuple(Vertex(v["id"], v["name"], v["parallelism"], v["status"]) for v in answer["vertices"])
    started = answer["start-time"] / 1000
    return JobState(str(answer["jid"]), str(answer["name"]), str(answer["state"]), started, vertices)


def newest_checkpoint(answer: Json) -> Checkpoint | None:
    """Of ``/jobs/ID/checkpoints``: the newest completed one, if there is one.

    Flink answers from what it knew up to 3 s ago, where it is not told otherwise. Newer ones may have replaced this one
    by then, and it is marked as discarded; that it was completed is what matters here.
    """
    found = answer.get("latest", {}).get("completed")
    if not found:
        return None
    at, size = found["latest_ack_timestamp"] / 1000, int(found["state_size"])
    return Checkpoint(str(found["external_path"]), at, size)


def exceptions(answer: Json) -> Exceptions:
    """Of ``/jobs/ID/exceptions``."""
    entries = answer.get("exceptionHistory", {}).get("entries", [])
    if not entries:
        return Exceptions(0)
    newest = max(entries, key=lambda entry: entry["timestamp"])
    return Exceptions(len(entries), str(newest["stacktrace"]), newest["timestamp"] / 1000)


def cause(trace: str) -> str:
    """The innermost causes of a stack trace, which say what went wrong; its frames say where in Flink."""
    lines = [line for line in trace.splitlines() if line.strip() and not line.lstrip().startswith(("at ", "..."))]
    causes = [line for line in lines if "Caused by" in line]
    return "\n".join((causes or lines)[-CAUSES_TOLD:])
