"""Checkpoints and savepoints as they lie on disk: which are whole, since when, and which nobody needs any more.

A state is named by the URL that Flink gives it. Its folder holds `_metadata` only once it is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec.structs import replace

from stream_apps.records import VersionState

JOB_DIGITS = 6
"""Of a job's id in its savepoints' names. Source: Flink 2.2, `AbstractFsCheckpointStorageAccess`."""


def savepoints(states: Path) -> Path:
    """Where they lie in a deployment's folder of states."""
    return states / "savepoints"


def local(path: str) -> Path | None:
    """A `file:` URL's path."""
    return Path(unquote(urlsplit(path).path)) if path.startswith("file:") else None


def completed_at(path: str) -> float:
    """When a local checkpoint became whole (Unix seconds); 0 when it is not, or is not on this machine."""
    folder = local(path)
    try:
        return 0.0 if folder is None else (folder / "_metadata").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def savepoints_of(job: str, states: Path) -> Iterator[str]:
    """Every savepoint that a job wrote, also one that nobody wrote down: who asked for it was killed meanwhile."""
    yield from (path.as_uri() for path in savepoints(states).glob(f"savepoint-{job[:JOB_DIGITS]}-*"))


def remove_older(states: Path, keep: Collection[str]) -> None:
    """Remove savepoints, half-written ones too, that are older than the newest to be kept, and not to be kept.

    A newer one is somebody's who could not write it down yet.
    """
    newest = max(map(completed_at, keep), default=0.0)
    kept = set(map(local, keep))
    for path in savepoints(states).glob("savepoint-*"):
        if path not in kept and (completed_at(path.as_uri()) or path.stat().st_mtime) < newest:
            shutil.rmtree(path, ignore_errors=True)


def own(state: VersionState, keep: Collection[str]) -> VersionState:
    """Without the states that others go on from: a version that failed names the one that it was to begin from."""
    jobs = tuple(job for job in state.jobs if not any(job in path for path in keep))
    kept = local(state.savepoint) in set(map(local, keep))  # Flink and we write the same URL in two ways
    return replace(state, jobs=jobs, savepoint="" if kept else state.savepoint)
