"""Every contract there is: the shop's tables, and what apps derive from them.

Apps declare their outputs in their own files. A package names a function that returns its contracts by table under the
entry-point group ``olist.contracts``; so sinks and checks take an app's rows without importing apps.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import entry_points

from olist.contracts import Contract
from olist.errors import BadInput
from olist.tables import TABLES

GROUP = "olist.contracts"


@lru_cache(maxsize=1)
def derived() -> dict[str, Contract]:
    """The contracts that apps write, by table.

    Raises:
        BadInput: one has a table's name that is taken.
    """
    found: dict[str, Contract] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        declared: dict[str, Contract] = point.load()()
        if taken := sorted(set(declared) & (set(TABLES) | set(found))):
            raise BadInput(f"{point.value}: tables declared twice: {', '.join(taken)}", hint="give them another name")
        found |= declared
    return found


def contracts() -> dict[str, Contract]:
    """The shop's tables, then what apps derive from them."""
    return TABLES | derived()
