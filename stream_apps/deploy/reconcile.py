"""What the keeper does about one app, decided from what is wanted and what is seen. Pure: the time is an argument."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from stream_apps.deploy.engine import Sight
from stream_apps.deploy.record import Record

MOST_ATTEMPTS = 8
"""Starts in a row without the app becoming healthy, after which it is left alone until someone asks for it."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 30.0
"""For so long an app must run before its attempts are forgotten: one that keeps falling over is well in between."""

Action = Literal["leave", "undo", "start", "stop", "settle"]
"""`undo`: take an upgrade's half-begun version down. `settle`: forget the attempts, the app is well."""


def decide(record: Record, sight: Sight, now: float) -> Action:
    """The one thing to do now."""
    if record.target != "local":
        return "leave"
    if record.trying is not None:
        return "undo"
    if record.wanted == "stopped":
        return "leave" if rests(record, sight) else "stop"
    if sight.phase in ("absent", "failed"):
        return "start" if record.attempts < MOST_ATTEMPTS and now >= record.not_before else "leave"
    return "settle" if sight.settled and _is_news(record, now - sight.since) else "leave"


def rests(record: Record, sight: Sight) -> bool:
    """Does nothing run? A Flink job that failed is over; of Faust workers, others may live when one has failed."""
    return sight.phase == "absent" or (record.engine == "flink" and sight.phase == "failed")


def _is_news(record: Record, age_s: float) -> bool:
    """Is there something to forget of an app that is well now, for so long?"""
    return not record.proven or (age_s >= STEADY_S and bool(record.attempts or record.error))


def after_start(record: Record, now: float, error: str) -> Record:
    """The record once a start was tried: counted, and the next one not before a pause that doubles."""
    pause = min(FIRST_PAUSE_S * 2**record.attempts, LONGEST_PAUSE_S)
    return replace(
        record, attempts=record.attempts + 1, restarts=record.restarts + 1, not_before=now + pause, error=error
    )


def after_settling(record: Record) -> Record:
    """The record of an app that is well. The reason of its last start is kept by the logs."""
    return replace(record, attempts=0, not_before=0.0, error="", proven=True)


def given_up(record: Record) -> bool:
    """Was it started so often in vain that it is left alone?"""
    return record.wanted == "running" and record.attempts >= MOST_ATTEMPTS
