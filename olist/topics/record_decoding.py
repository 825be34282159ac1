"""A record as a person wants to see it: operation, key, fields, what changed; or why it is no change. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from olist.changes import MALFORMED, Images, Position, codec, decode_images
from olist.contracts import Contract
from olist.errors import BadRecord
from olist.topics.reader import Consumed


@dataclass(frozen=True)
class Seen:
    """One record, decoded as far as it goes.

    `op` is Debezium's letter, or ``tombstone``; ``bad`` is a record that every reader refuses, with its `reason`. On a
    topic without a contract it may also be ``row`` (a JSON object) or ``bytes``. `changed` holds (old, new) where the
    before-image is data.
    """

    position: Position
    timestamp_ms: int
    op: str
    key: Mapping[str, Any] | str | None
    row: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    has_before: bool = False
    unknown: tuple[str, ...] = ()
    committed_us: int = 0
    reason: str = ""
    raw: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def see(contract: Contract | None, record: Consumed, position: Position, partitions: int | None = None) -> Seen:
    """Decode one record; never raises for what is in it. Without a contract nothing is judged, only shown."""
    key, value, at = record.key(), record.value(), record.timestamp()[1]
    headers = {name: _text(content) for name, content in record.headers() or ()}
    if contract is None:
        return _loose(position, at, key, value, headers)
    try:
        change = codec(contract).decode(key, value, position, partitions)
    except BadRecord as error:
        return Seen(position, at, "bad", _text(key), reason=error.reason, raw=_text(value), headers=headers)
    names = dict(zip(contract.key, change.key, strict=True))
    if value is None:
        return Seen(position, at, "tombstone", names, headers=headers)
    envelope = _envelope(value)
    row = _image(envelope.after) if envelope else msgspec.to_builtins(change.row) or {}
    known = {column.name for column in contract.columns}
    return Seen(
        position,
        at,
        change.op,
        names,
        row,
        _changed(envelope) if envelope else {},
        envelope is not None and _has_before(envelope),
        tuple(name for name in row if name not in known),
        change.committed_us,
        headers=headers,
    )


def _loose(position: Position, at: int, key: bytes | None, value: bytes | None, headers: dict[str, str]) -> Seen:
    shown_key = _json(key) if key is not None else None
    if value is None:
        return Seen(position, at, "tombstone", shown_key, headers=headers)
    if envelope := _envelope(value):
        return Seen(
            position,
            at,
            envelope.op,
            shown_key,
            _image(envelope.after),
            _changed(envelope),
            _has_before(envelope),
            committed_us=envelope.source.committed_us(),
            headers=headers,
        )
    shown = _json(value)
    if isinstance(shown, dict):
        return Seen(position, at, "row", shown_key, shown, headers=headers)
    return Seen(position, at, "bytes", shown_key, raw=shown, headers=headers)


def _envelope(value: bytes) -> Images | None:
    """What there is to see of an envelope; None for a value that is none."""
    try:
        return decode_images(value)
    except MALFORMED:
        return None


def _has_before(envelope: Images) -> bool:
    return envelope.op == "u" and bool(_image(envelope.before))


def _changed(envelope: Images) -> dict[str, tuple[Any, Any]]:
    """Field -> (old, new) of an update. Only there: under default identity a delete's before-image is made up."""
    before, after = _image(envelope.before), _image(envelope.after)
    if envelope.op != "u" or not before:
        return {}
    names = dict.fromkeys([*after, *before])
    return {n: (before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)}


def _image(image: object) -> dict[str, Any]:
    return image if isinstance(image, dict) else {}


def _json(content: bytes) -> dict[str, Any] | str:
    try:
        found = msgspec.json.decode(content)
    except MALFORMED:
        return _text(content)
    return found if isinstance(found, dict) else _text(content)


def _text(content: bytes | str | None) -> str:
    """Bytes as text; what is not UTF-8 shows as escapes."""
    if content is None:
        return "null"
    return content if isinstance(content, str) else content.decode("utf-8", "backslashreplace")
