"""`olist` in a process of its own, as users run it, against the servers that a test's settings name."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import suppress

from olist.settings import Settings
from tests.waiting import DEADLINE_S


def olist(settings: Settings, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with what is typed meanwhile."""
    return subprocess.run(
        [sys.executable, "-m", "olist", *arguments],
        env=settings.environment(),
        input=given,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def done(settings: Settings, *arguments: str, given: str = "") -> str:
    """Run a command that must succeed; what it printed."""
    ended = olist(settings, *arguments, given=given)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def on_terminal(environment: Mapping[str, str], columns: int, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and all that it writes to a terminal so many columns wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "olist", *arguments]
    with subprocess.Popen(command, env=dict(environment), stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b"".join(_until_closed(ours))
    os.close(ours)
    return process.returncode, written.decode()


def _until_closed(terminal: int) -> Iterator[bytes]:
    with suppress(OSError):  # what Linux says when nobody has the other side any more
        while content := os.read(terminal, 1 << 16):
            yield content
