"""Plans that were compiled before, in the user's cache: a plan takes a Java process and 5 to 15 s to make.

A plan names its tables and holds nothing of where they are. So what is compiled is the job without that, and a digest
of all that goes into the compilation is the plan's name: another statement, option, connector or PyFlink is another
plan, and none is ever stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import msgspec

from olist.atomic import write_atomically

MOST_KEPT = 100

# Of a table: its topic, how the client reaches it, and the names of its group and transactions.
_PLACES = re.compile(r"^( *'(?:topic|properties\.[^']*|sink\.transactional-id-prefix)' = )'(?:[^']|'')*'", re.MULTILINE)


def without_places(statement: str) -> str:
    """A table's declaration without what says where it is; nothing of it comes into a plan."""
    return _PLACES.sub(r"\1'-'", statement) if statement.startswith("CREATE TEMPORARY TABLE") else statement


def cached(folder: Path, made_from: object, compiled: Callable[[], bytes]) -> bytes:
    """The plan that was made from the same, or else a new one, which is kept."""
    path = folder / f"{sha256(msgspec.json.encode(made_from, order='sorted')).hexdigest()}.json"
    try:
        plan = path.read_bytes()
        path.touch()
    except FileNotFoundError:
        plan = compiled()
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, plan)
        _forget_oldest(folder)
    return plan


def _forget_oldest(folder: Path) -> None:
    """Of those that were used last; another process may do the same."""
    used: list[tuple[float, Path]] = []
    for path in folder.glob("*.json"):
        try:
            used.append((path.stat().st_mtime, path))
        except FileNotFoundError:
            continue
    for _at, path in sorted(used)[:-MOST_KEPT]:
        path.unlink(missing_ok=True)
