"""The value of an app's record as one SQL expression: the envelope that `olist.changes` writes, around the row.

The shape of the envelope is not spelt here. One envelope is encoded with a mark in each place that differs between
records, and the text between the marks becomes literals.

A row is an update of its key, whatever was there before; what leaves the SELECT becomes a tombstone. `ts_us`, when the
source committed it, is the row's `_committed_us`: the newest commit among the changes that the SELECT says it stands
for. So the time a change takes to the derived topic and further can be read off every record.
"""

from __future__ import annotations

import re

import msgspec

from olist.changes import Envelope, Source
from olist.contracts import Contract
from stream_apps.flink_sql.text import concat, json_object, json_value, literal, quoted

CONNECTOR, CONNECTOR_VERSION = "flink", "1"
COMMITTED = "_committed_us"

# What stands in the template where records differ: numbers of 19 digits, and a word, that no envelope holds otherwise.
_MS, _US, _NS = (10**18 + number for number in range(3))
_ROW = "@row@"
_US_TEXT = f"CAST({quoted(COMMITTED)} AS STRING)"
_MS_TEXT = f"CAST({quoted(COMMITTED)} / 1000 AS STRING)"


def value_of(contract: Contract, prefix: str) -> str:
    """The expression, over the contract's columns and `_committed_us`."""
    row = json_object({c.name: json_value(quoted(c.name), c.type) for c in contract.columns})
    spelt = {
        f'"{_ROW}"': row,
        str(_MS): [_MS_TEXT],
        str(_US): [_US_TEXT],
        str(_NS): [_US_TEXT, "'000'"],
    }
    parts: list[str] = []
    for piece in re.split(f"({'|'.join(map(re.escape, spelt))})", template(contract, prefix)):
        parts += spelt.get(piece, [literal(piece)] if piece else [])
    return concat(parts)


def template(contract: Contract, prefix: str) -> str:
    """An envelope with marks."""
    *names, schema = prefix.split(".")
    name = ".".join(names) or schema
    source = Source(
        version=CONNECTOR_VERSION,
        connector=CONNECTOR,
        name=name,
        ts_ms=_MS,
        snapshot="false",
        db=name,
        sequence=None,
        ts_us=_US,
        ts_ns=_NS,
        schema=schema,
        table=contract.table,
        txId=None,
        lsn=None,
    )
    envelope = Envelope(before=None, after=_ROW, source=source, op="u", ts_ms=_MS)
    return msgspec.json.encode(envelope).decode()
