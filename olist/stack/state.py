"""What is running: one JSON file in the stack's home, written by its supervisor alone, read by everyone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from olist.atomic import write_atomically

Phase = Literal["waiting", "starting", "ready", "crashed", "stopped", "external", "unreachable"]


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """One server as its supervisor last saw it, or as one of another machine answered.

    `since` is Unix seconds; `reason` says why it crashed, or why it is unreachable.
    """

    name: str
    phase: Phase
    endpoint: str
    pid: int | None = None
    version: str = ""
    since: float = 0.0
    reason: str = ""


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor and its servers."""

    supervisor: int
    servers: dict[str, ServerState]


def write_state(path: Path, state: RunState) -> None:
    """Replace the file at once, so that a reader sees the old state or the new one."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(state)))


def read_state(path: Path) -> RunState | None:
    """The last written state, or None when there is none. Whether it is still true, `Home.supervisor` says."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunState)
    except FileNotFoundError:
        return None
