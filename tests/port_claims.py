"""Ports for a stack of servers that no other stack of any test process has, be it started already or not."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir
from typing import IO

from olist.stack.servers.server import owner

FIRST, BLOCKS, SIZE = 20_000, 490, 24  # below the range that systems hand out to clients by themselves
ABOVE = 119
"""OpenSearch's port is the 20th of a block, its other one the last of the fourth block above."""

_claims: list[IO[str]] = []  # open for as long as this process lives, and their locks with them


def claimed_ports() -> int:
    """The first of a block of ports that are this process's until it ends.

    That nobody listens says little: a server may start there a minute later, or not before a test asks for it.
    """
    folder = Path(gettempdir()) / f"olist-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    claimed = (FIRST + number * SIZE for number in _numbers() if _claim(folder / str(number)))
    return next(first for first in claimed if not any(map(owner, [*range(first, first + SIZE - 1), first + ABOVE])))


def _numbers() -> Iterator[int]:
    begin = os.getpid()
    return (number % BLOCKS for number in range(begin, begin + BLOCKS))


def _claim(path: Path) -> bool:
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _claims.append(file)
    return True
