"""`olist` in a process of its own, as users run it, against the servers that a test's settings name."""

from __future__ import annotations

import subprocess
import sys

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
