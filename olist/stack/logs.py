"""Read the servers' logs: the last lines, then what comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from olist.stack.processes import last_lines

LOOK_EVERY_S = 0.2


def recent(logs: Mapping[str, Path], count: int) -> Iterator[tuple[str, str]]:
    """The last lines of each log, as (server, line)."""
    for name, log in logs.items():
        for line in last_lines(log, count):
            yield name, line


def follow(logs: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Lines from now on, as (server, line), without end. A log that is begun anew is followed from its beginning."""
    offsets = {name: _size(log) for name, log in logs.items()}
    while True:
        for name, log in logs.items():
            lines, offsets[name] = _lines_after(log, offsets[name])
            for line in lines:
                yield name, line
        time.sleep(LOOK_EVERY_S)


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def _lines_after(log: Path, offset: int) -> tuple[list[str], int]:
    size = _size(log)
    if size <= offset:
        return [], min(size, offset)
    with log.open("rb") as file:
        file.seek(offset)
        whole, _, rest = file.read(size - offset).rpartition(b"\n")
    return whole.decode("utf-8", errors="replace").splitlines(), size - len(rest)
