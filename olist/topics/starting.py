"""Where a look at a topic begins: times as people say them, and offsets per partition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from olist.errors import BadInput
from olist.positions import TopicState

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
AGO = re.compile(r"(\d+)\s*([smhd])")


def moment(text: str, now: datetime) -> datetime:
    """``10m`` (ago; s, m, h, d), or an ISO time; without a zone it is UTC.

    Raises:
        BadInput: neither.
    """
    try:
        if match := AGO.fullmatch(text.strip()):
            return now - timedelta(**{UNITS[match[2]]: int(match[1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:  # the second: longer ago than any calendar reaches
        raise BadInput(f"{text!r} is no time", hint="write 10m, 2h, 1d, or 2018-08-01T12:00:00") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def partitions_of(state: TopicState, wanted: int | None) -> list[int]:
    """The wanted partition, or all of them.

    Raises:
        BadInput: the topic has no such partition.
    """
    if wanted is None:
        return sorted(state.end)
    if wanted not in state.end:
        raise BadInput(f"{state.topic} has no partition {wanted}", hint=f"its partitions are 0 to {len(state.end) - 1}")
    return [wanted]


def clamped(state: TopicState, offsets: Mapping[int, int]) -> dict[int, int]:
    """Offsets no earlier than the first that is there and no later than the end."""
    return {p: min(max(offset, state.first[p]), state.end[p]) for p, offset in offsets.items()}


def before_end(state: TopicState, partitions: list[int], records: int) -> dict[int, int]:
    """Offsets so many before each partition's end."""
    return clamped(state, {p: state.end[p] - records for p in partitions})
