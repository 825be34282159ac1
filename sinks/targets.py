"""The targets by name, each imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import get_args

from olist.contracts import Contract, Target
from olist.errors import BadInput
from olist.settings import Settings
from sinks.base import SinkTable

Factory = Callable[[Contract, Settings], SinkTable]

# Each folder's `table` module has a `connect(contract, settings)` that returns its SinkTable, not yet opened.
TARGETS: tuple[str, ...] = get_args(Target)


def factory(target: str) -> Factory:
    """The function that makes a target's tables.

    Raises:
        BadInput: there is no such target.
    """
    if target not in TARGETS:
        raise BadInput(f"no sink named {target!r}", hint=f"one of: {', '.join(TARGETS)}")
    made: Factory = import_module(f"sinks.{target}.table").connect
    return made
