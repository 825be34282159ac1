"""Compiled plans: does a new one take over the state of an old one? Pure functions of the plans' JSON."""

from __future__ import annotations

from typing import Literal

import msgspec

Road = Literal["restored", "restored, old rows not rewritten", "state refused"]


class Verdict(msgspec.Struct, frozen=True):
    """Which way an upgrade would take, and why: for `state refused` the operators that differ."""

    road: Road
    why: str


def carries(old: bytes, new: bytes) -> Verdict:
    """Whether a job of plan `new` can start from a savepoint of a job of plan `old`."""
    raise NotImplementedError
