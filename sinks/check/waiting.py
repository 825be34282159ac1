"""Wait until targets have caught up with the ends that the topics had when the check began."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from olist.contracts import Contract
from olist.errors import ServerTrouble
from olist.settings import Settings
from sinks.readback import read, read_positions

LOOK_EVERY_S = 0.2


def wait_for(
    pairs: Iterable[tuple[str, Contract]],
    ends: Mapping[str, Mapping[int, int]],
    settings: Settings,
    within_s: float,
    on_wait: Callable[[int], None] = lambda _left: None,
) -> None:
    """Return when every (target, table) has reached its table's ends or time is up; `on_wait` hears how many lag."""
    left, deadline = list(pairs), time.monotonic() + within_s
    while True:
        began = time.monotonic()
        left = [(target, contract) for target, contract in left if not _reached(target, contract, ends, settings)]
        on_wait(len(left))
        if not left or time.monotonic() >= deadline:
            return
        # Looking must not slow down those who are waited for: it takes a third of the time at most.
        pause_s = max(LOOK_EVERY_S, 2 * (time.monotonic() - began))
        time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))


def _reached(target: str, contract: Contract, ends: Mapping[str, Mapping[int, int]], settings: Settings) -> bool:
    wanted = ends[contract.table]
    with suppress(ServerTrouble):  # it may come back within the time; the comparison tells if it does not
        if not any(wanted.values()):
            # No position is written where nothing was read: all there is to wait for is the table.
            with read(target, contract, settings) as reading:
                return reading is not None
        held = read_positions(target, contract, settings)
        return held is not None and all(held.next.get(p, 0) >= end for p, end in wanted.items())
    return False
