"""Rows that move from key to key.

Where a contract's key does not hold the columns that an input is read by, an update may move a row from one key to
another, and a delete does not say which key it concerns. So the keys that each such row's changes were forwarded to are
kept, and each change goes to all of them; one that is not the row's key any more takes it as a delete. All and not only
the last, since what a killed worker forwarded for an earlier change may be lost: the change comes again, and then it is
forwarded to them once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from olist.changes import Change
from stream_apps.app import Key
from stream_apps.faust.changelog import FORWARDED, ForwardedKeys
from stream_apps.faust.partition_states import REPEATS_S
from stream_apps.faust.repartition import Route

MOST_KEYS = 16  # of one row; the changes of one that has moved more often are forwarded to the last ones


@dataclass
class MovedKeys:
    """Of one partition's rows."""

    known: dict[Key, ForwardedKeys] = field(default_factory=dict)
    _deleted: deque[tuple[float, Key]] = field(default_factory=deque)

    def targets(self, route: Route, change: Change, at_s: float) -> tuple[list[tuple[Any, ...]], Key | None]:
        """The values of `by` to forward a change to, and the key of `known` that is to be saved, if any."""
        now = route.values(change)
        if route.in_key is not None:
            return ([] if now is None else [now]), None
        key = (FORWARDED, route.name, *map(str, change.key))
        known = self.known.get(key)
        if known is None:
            if now is None:
                return [], None
            known = self.known[key] = ForwardedKeys()
        changed = self._note(key, known, now, change.row is None, at_s)
        return list(known.keys), key if changed else None

    def expire(self, at_s: float) -> Iterator[Key]:
        """Forget rows deleted so long ago that no repeat will ask for them."""
        while self._deleted and self._deleted[0][0] <= at_s:
            _, key = self._deleted.popleft()
            known = self.known.get(key)
            if known is not None and known.deleted_s is not None and known.deleted_s + REPEATS_S <= at_s:
                del self.known[key]
                yield key

    def restored(self) -> None:
        """Queue what was read back as deleted."""
        gone = ((known.deleted_s + REPEATS_S, key) for key, known in self.known.items() if known.deleted_s is not None)
        self._deleted.extend(sorted(gone))

    def _note(self, key: Key, known: ForwardedKeys, now: tuple[Any, ...] | None, is_delete: bool, at_s: float) -> bool:
        changed = is_delete != (known.deleted_s is not None)
        known.deleted_s = at_s if is_delete else None
        if is_delete:
            self._deleted.append((at_s + REPEATS_S, key))
        if now is not None and (not known.keys or known.keys[-1] != now):
            known.keys = [*(k for k in known.keys if k != now), now][-MOST_KEYS:]
            changed = True
        return changed
