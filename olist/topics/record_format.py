"""A seen record as one coloured line, or as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from olist.contracts import FIRST_MICROS, LAST_MICROS, Contract, Timestamp
from olist.printable import printable, printable_json

if TYPE_CHECKING:  # who shows the time of a record alone need not load what decodes one
    from olist.topics.record_decoding import Seen

COLOURS = {"c": "green", "r": "cyan", "u": "yellow", "d": "red", "tombstone": "bright_black", "bad": "bright_red"}
EPOCH = datetime(1970, 1, 1)
SHOWN_CHARS = 100


def line(seen: Seen, contract: Contract | None) -> str:
    """Where, what, which key, and the fields: of an update those that changed, as old -> new."""
    at = seen.position
    head = [
        click.style(when(seen.timestamp_ms), fg="bright_black"),
        click.style(f"{at.topic}[{at.partition}]@{at.offset}", fg="blue"),
        click.style(printable(seen.op), fg=COLOURS.get(seen.op, "white"), bold=True),
        click.style(_key(seen.key, contract), bold=True),
    ]
    return " ".join([*head, *_body(seen, contract)])


def as_json(seen: Seen, contract: Contract | None) -> str:
    """One JSON object without line breaks; timestamps as ISO text, money as text."""
    shown: dict[str, Any] = {
        "topic": seen.position.topic,
        "partition": seen.position.partition,
        "offset": seen.position.offset,
        "timestamp": when(seen.timestamp_ms),
        "op": seen.op,
        "key": seen.key,
    }
    if seen.committed_us:
        shown["committed_at"] = iso(seen.committed_us)
    if seen.row:
        shown["row"] = {name: value(name, held, contract) for name, held in seen.row.items()}
    if seen.has_before:
        changes = seen.changed.items()
        shown["changed"] = {n: [value(n, old, contract), value(n, new, contract)] for n, (old, new) in changes}
    extra = {"unknown": list(seen.unknown), "reason": seen.reason, "raw": seen.raw, "headers": dict(seen.headers)}
    whole = msgspec.json.encode(shown | {name: held for name, held in extra.items() if held})
    return printable_json(whole.decode())


def when(timestamp_ms: int) -> str:
    """Milliseconds since 1970 as ISO text in UTC, as a number past the year 9999; a record without a time has -1."""
    if timestamp_ms < 0:
        return "-"
    if timestamp_ms > LAST_MICROS // 1000:
        return f"{timestamp_ms} ms"  # a sender that took another unit: no calendar reaches as far
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso(micros: int) -> str:
    """Microseconds since 1970 as ISO text."""
    if not FIRST_MICROS <= micros <= LAST_MICROS:
        return str(micros)
    return (EPOCH + timedelta(microseconds=micros)).isoformat(sep=" ")


def value(name: str, held: Any, contract: Contract | None) -> Any:
    """A field's value with timestamps readable."""
    kinds = {column.name: column.type for column in contract.columns} if contract else {}
    return iso(held) if isinstance(kinds.get(name), Timestamp) and isinstance(held, int) else held


def _body(seen: Seen, contract: Contract | None) -> list[str]:
    if seen.op == "bad":
        return [click.style(seen.reason, fg="bright_red"), _cut(seen.raw)]
    headers = [click.style(f"{printable(name)}={_cut(text)}", fg="magenta") for name, text in seen.headers.items()]
    if seen.has_before:
        changes = seen.changed.items()
        moved = [f"{printable(n)}: {_shown(n, a, contract)} -> {_shown(n, b, contract)}" for n, (a, b) in changes]
        return [", ".join(moved) or "(nothing changed)", *_unknown(seen), *headers]
    in_key = set(seen.key) if isinstance(seen.key, Mapping) else set()
    rest = {n: held for n, held in seen.row.items() if n not in {*in_key, *seen.unknown}}
    return [_fields(rest, contract), *_unknown(seen), _cut(seen.raw), *headers]


def _fields(row: Mapping[str, Any], contract: Contract | None, between: str = ", ") -> str:
    return between.join(f"{printable(name)}={_shown(name, held, contract)}" for name, held in row.items())


def _unknown(seen: Seen) -> list[str]:
    """Fields that the contract does not know, so that nobody takes them for data."""
    return [
        click.style(f"unknown {printable(name)}={_cut(repr(seen.row[name]))}", fg="magenta") for name in seen.unknown
    ]


def _key(key: Mapping[str, Any] | str | None, contract: Contract | None) -> str:
    if isinstance(key, Mapping):
        return _fields(key, contract, between=",")
    return "(no key)" if key is None else printable(key)


def _shown(name: str, held: Any, contract: Contract | None) -> str:
    held = value(name, held, contract)
    if held is None:
        return "null"
    # Quotes where a text would be mistaken for something else, or break the line.
    plain = str(held)
    return _cut(plain if plain.isprintable() and plain.strip() == plain != "" else repr(held))


def _cut(text: str) -> str:
    text = printable(text)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}... ({len(text)} characters)"
