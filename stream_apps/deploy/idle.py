"""Wait until the deployed apps have nothing left to read: for demos, tests and scripts that load data once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from olist.errors import StackError
from stream_apps.deploy.status import AppStatus

LOOK_EVERY_S = 0.5
LONGEST_PAUSE_S = 5.0  # a look that took long on a busy machine must not be followed by minutes of nothing
QUIET_LOOKS = 2
"""What an app forwards to itself may arrive between a look at one topic and at the next, so one quiet look is none."""


def until_idle(
    look: Callable[[], Sequence[AppStatus]], within_s: float, pause: Callable[[float], None] = time.sleep
) -> Iterator[int]:
    """Gives how many records are left over all apps, again and again, until there are none.

    Raises:
        StackError: an app was given up, or records are left when the time is up; it names them.
    """
    deadline, quiet = time.monotonic() + within_s, 0
    while True:
        began = time.monotonic()
        found = [one for one in look() if one.wanted == "running"]
        if lost := [one for one in found if one.state == "given up"]:
            raise StackError(
                "; ".join(f"{one.name} does not run: {one.error}" for one in lost), hint="olist apps status; logs"
            )
        left = {one.name: one.lag for one in found if one.lag != 0}
        quiet = 0 if left else quiet + 1
        yield sum(records or 1 for records in left.values())  # a lag that nobody can tell is not nothing
        if quiet == QUIET_LOOKS:
            return
        if time.monotonic() > deadline:
            told = ", ".join(
                f"{name}: {'unknown' if records is None else f'{records:,}'}" for name, records in left.items()
            )
            raise StackError(f"still to read after {within_s:g} s: {told}", hint="olist apps status")
        # Looking reads topics too, and must not slow down those who are waited for: a fifth of the time at most.
        pause(min(max(LOOK_EVERY_S, 4 * (time.monotonic() - began)), LONGEST_PAUSE_S))
