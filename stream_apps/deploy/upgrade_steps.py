"""The ways from one version to another, as tables: in which step, what leads where. Pure.

A step is one action of `upgrade.Upgrade`; it ends well or not. Whatever happens, at most one version writes the app's
topic, the old one's state is written down before it stops, and a walk ends in one of five places:

done          the new version runs
untouched     the old version runs; should its savepoint have come too late to be seen, the supervisor starts it again
put back      the old version runs again, from where it stopped
left stopped  as the app was
broken        what was begun could not be taken down, or the old version not be started; the record says why, and what
              is still to be undone, the supervisor goes on trying
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeGuard, cast

End = Literal["done", "untouched", "put back", "left stopped", "broken"]
Step = Literal[
    "save old",
    "start new",
    "watch new",
    "cancel new",
    "start old",
    "watch old",
    "start beside",
    "watch beside",
    "catch up",
    "cancel beside",
    "save both",
    "exchange rows",
    "return rows",
    "put rows back",
]
Table = dict[Step, tuple["Step | End", "Step | End"]]
"""Step -> where it leads when it ends well, and when it does not."""

PUT_BACK: Table = {
    "cancel new": ("start old", "broken"),
    "start old": ("watch old", "broken"),
    "watch old": ("put back", "broken"),
}
TAKE_OVER: Table = {
    "save old": ("start new", "untouched"),
    "start new": ("watch new", "cancel new"),
    "watch new": ("done", "cancel new"),
    **PUT_BACK,
}
"""The new version takes over the old one's state from a savepoint. Also the way back to the previous version."""

PUT_BACK_WITH_ROWS: Table = {
    **PUT_BACK,
    "cancel new": ("put rows back", "broken"),
    "put rows back": ("start old", "broken"),
}
BESIDE: Table = {
    "start beside": ("watch beside", "cancel beside"),
    "watch beside": ("catch up", "cancel beside"),
    "catch up": ("save both", "cancel beside"),
    "cancel beside": ("untouched", "broken"),
    "save both": ("exchange rows", "cancel new"),
    "exchange rows": ("start new", "cancel new"),
    "start new": ("watch new", "cancel new"),
    "watch new": ("done", "cancel new"),
    **PUT_BACK_WITH_ROWS,
}
"""The new version builds its state from the beginning, writing to a topic of its own, until it has caught up."""

RETURN: Table = {
    "save old": ("return rows", "untouched"),
    "return rows": ("start new", "cancel new"),
    "start new": ("watch new", "cancel new"),
    "watch new": ("done", "cancel new"),
    **PUT_BACK_WITH_ROWS,
}
"""Back to a version that was rebuilt: its rows are in the way of the former's, which are kept."""

ENDS: tuple[End, ...] = ("done", "untouched", "put back", "left stopped", "broken")


def of_stopped(table: Table) -> Table:
    """The same ways for an app that is not wanted to run: whatever fails, its old version is not started."""
    return {
        step: (_unless_started(well), _unless_started(ill))
        for step, (well, ill) in table.items()
        if step not in ("start old", "watch old")
    }


def _unless_started(to: Step | End) -> Step | End:
    return "left stopped" if to in ("start old", "untouched") else to


def walk(table: Table, first: Step, act: Callable[[Step], bool]) -> Iterator[Step | End]:
    """Take steps until an end is reached; gives each step before it is taken, and the end last."""
    at: Step | End = first
    while not is_end(at):
        step = cast(Step, at)
        yield step
        well, ill = table[step]
        at = well if act(step) else ill
    yield at


def is_end(at: Step | End) -> TypeGuard[End]:
    """Is the walk over?"""
    return at in ENDS
