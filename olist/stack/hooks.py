"""Hooks of other folders into the servers' life: what lives beside them begins after them and ends before them.

A package names a module under the entry-point group ``olist.companions``, so that the stack need not import it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from olist.settings import Settings

GROUP = "olist.companions"


class StackHook(Protocol):
    """What such a module offers. Every call may be repeated."""

    def needs(self, settings: Settings) -> Sequence[str]:
        """Servers that what is wanted of it in this home runs on: they start with the usual ones."""

    def begin(self, settings: Settings) -> None:
        """Start what is wanted of it in this home, if anything is."""

    def end(self, settings: Settings) -> None:
        """Stop it, and return when it has; what is wanted stays wanted."""

    def data(self, settings: Settings) -> list[Path]:
        """The folders that are its own in this home."""


def stack_hooks() -> Iterator[StackHook]:
    """Every hook that is installed, by name."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        hook: StackHook = point.load()
        yield hook
