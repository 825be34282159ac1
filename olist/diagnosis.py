"""Why a record of another sender does not fit, and which of its connector's settings to change. Pure text.

Debezium spells one change in many ways, and only one of them is the platform's: JSON without schema, the whole
envelope, money as strings, times as microseconds. The others are refused, never guessed at; what is said of them here
is what their sender must change.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from olist.contracts import Contract, Money, Timestamp, Type

SCHEMA_AND_PAYLOAD = {"schema", "payload"}
MAGIC_BYTE = b"\0"  # of a schema registry's formats
_NO_DECIMAL = "Invalid decimal"  # as msgspec begins
_NO_NUMBER = re.compile(rb'"[\w+-]*infinity"', re.IGNORECASE)  # Debezium writes POSITIVE_INFINITY

_COLUMN = re.compile(r"`\$(?:\.after)?\.(\w+)")  # where msgspec says a value is


def explained(contract: Contract, key: bytes, value: bytes, problem: str) -> str:
    """A decoder's problem, and what in the connector's configuration makes it, where that can be told."""
    cause = (
        _of_form("key", key)
        or _of_form("value", value)
        or _of_row(contract, value)
        or _of_column(contract, value, problem)
    )
    return f"{problem}; {cause}" if cause else problem


def _of_form(part: str, content: bytes) -> str:
    if content.startswith(MAGIC_BYTE):
        return (
            f"the {part} is no JSON but of a schema registry (Avro?): "
            f"set {part}.converter=org.apache.kafka.connect.json.JsonConverter"
        )
    if _object(content).keys() == SCHEMA_AND_PAYLOAD:
        return f"the {part} carries its schema: set {part}.converter.schemas.enable=false"
    return ""


def _of_row(contract: Contract, value: bytes) -> str:
    fields = _object(value).keys()
    if "after" in fields or not fields & {column.name for column in contract.columns}:
        return ""
    return "this is a row without its envelope: remove the connector's unwrap transform (ExtractNewRecordState)"


def _of_column(contract: Contract, value: bytes, problem: str) -> str:
    if problem.startswith(_NO_DECIMAL) and _NO_NUMBER.search(value):
        return ""  # PostgreSQL's infinity: no setting makes a number of it
    found = _COLUMN.search(problem)
    kinds = {column.name: column.type for column in contract.columns}
    return advice(kinds[found[1]]) if found and found[1] in kinds else ""


def advice(kind: Type) -> str:
    """The setting under which Debezium writes a type as the platform reads it; nothing where there is no choice."""
    match kind:
        case Money():
            return "set decimal.handling.mode=string at the connector"
        case Timestamp():
            return "set time.precision.mode=microseconds at the connector"
        case _:
            return ""


def _object(content: bytes) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    try:
        return _OBJECTS.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


_OBJECTS: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
