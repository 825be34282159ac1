"""Changes to records, vectorised: the bytes that `olist.changes.Codec` would write, thousands at a time.

The shape of the envelope is not spelt here. One envelope is encoded by the codec with a mark in each place that
differs between changes, and the text between the marks is what is repeated. A row is spelt by polars' JSON writer,
which agrees with msgspec's to the byte, floats of 1e16 and more aside; no table holds such.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl

from olist.changes import Envelope, Source, codec, java_escapes
from olist.contracts import Contract, Money
from olist.tables import TABLES
from producers.row_histories import EVENT_US, PREVIOUS_STAGE, PREVIOUS_US, ROW, STAGE, history_of
from producers.sequence import SEQ, TABLE, TX

CONNECTOR = "olist-replay"
CONNECTOR_VERSION = "1"
KEY, VALUE = "key", "value"

# What stands in a template where changes differ. Numbers of 19 digits and words that no envelope holds otherwise.
_BEFORE, _AFTER, _MS, _US, _NS = "before_image", "after_image", "ms", "us", "ns"
_MARKS: dict[str, int] = {name: 10**18 + number for number, name in enumerate((_MS, _US, _NS, SEQ, TX))}
_IMAGE_MARKS = {name: f'"@{name}@"' for name in (_BEFORE, _AFTER)}


@dataclass(frozen=True)
class Origin:
    """What every change of one replay says of where it comes from."""

    fingerprint: str  # of the data set and of the sequence's version
    prefix: str  # of the topics

    def wrote(self, sequence: str | None) -> bool:
        """Whether a sequence text names this data set."""
        return sequence is not None and sequence.startswith(f'["{self.fingerprint}",')

    def sequence(self, seq: int) -> str:
        """What Debezium keeps two log positions in: the data set's fingerprint, the change's number in its sequence."""
        return f'["{self.fingerprint}","{seq}"]'


def source_of(contract: Contract, origin: Origin, event_us: int, seq: int, tx: int) -> Source:
    """The ``source`` block of a change: its times are the event's, its log position is its number in the sequence."""
    *names, schema = origin.prefix.split(".")
    name = ".".join(names) or schema
    return Source(
        version=CONNECTOR_VERSION,
        connector=CONNECTOR,
        name=name,
        ts_ms=event_us // 1000,
        snapshot="false",
        db=name,
        sequence=origin.sequence(seq),
        ts_us=event_us,
        ts_ns=event_us * 1000,
        schema=schema,
        table=contract.table,
        txId=tx,
        lsn=seq,
    )


def envelope_of(source: Source, before: object, after: object) -> Envelope[Any]:
    """A create, or with a before-image an update. Sent when it happened, so that the same data gives the same bytes."""
    return Envelope(
        before=before,
        after=after,
        source=source,
        transaction=None,
        op="c" if before is None else "u",
        ts_ms=source.ts_ms,
        ts_us=source.ts_us,
        ts_ns=source.ts_ns,
    )


def keys_of(contract: Contract, frame: pl.DataFrame) -> pl.Series:
    """The record key of each row, as JSON text."""
    keys = _json(contract, frame, contract.key).alias(KEY)
    if not keys.str.contains(r"\u", literal=True).any():
        return keys
    return pl.Series(KEY, [java_escapes(key.encode()).decode() for key in keys], dtype=pl.String)


def encode(frames: Mapping[str, pl.DataFrame], changes: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """A part of the sequence as it was given, with each change's `KEY` and `VALUE`, as bytes."""
    created = pl.col(PREVIOUS_STAGE).is_null()
    parts = [
        _encode_alike(contract, frames[contract.table], alike, origin)
        for index, contract in enumerate(TABLES.values())
        for alike in (changes.filter(pl.col(TABLE) == index, kind) for kind in (created, ~created))
        if alike.height
    ]
    return pl.concat(parts).sort(SEQ) if parts else changes.with_columns(_bytes(KEY, ""), _bytes(VALUE, ""))


def _encode_alike(contract: Contract, frame: pl.DataFrame, changes: pl.DataFrame, origin: Origin) -> pl.DataFrame:
    """Changes of one table, all creates or all updates."""
    history = history_of(contract)
    after = history.images(frame, changes)
    images = {_AFTER: _json(contract, after), KEY: keys_of(contract, after)}
    is_update = changes[PREVIOUS_STAGE][0] is not None
    if is_update:
        previous = changes.select(ROW, pl.col(PREVIOUS_STAGE).alias(STAGE), pl.col(PREVIOUS_US).alias(EVENT_US))
        images[_BEFORE] = _json(contract, history.images(frame, previous))
    event_us = pl.col(EVENT_US)
    slots = changes.select(
        SEQ, TX, event_us.alias(_US), (event_us // 1000).alias(_MS), (event_us * 1000).alias(_NS)
    ).with_columns(**images)
    value = pl.concat_str(
        pl.col(part) if is_slot else pl.lit(part) for part, is_slot in _template(contract, origin, is_update)
    )
    return changes.with_columns(
        slots.select(pl.col(KEY).cast(pl.Binary), value.cast(pl.Binary).alias(VALUE)).get_columns()
    )


@lru_cache(maxsize=64)
def _template(contract: Contract, origin: Origin, is_update: bool) -> tuple[tuple[str, bool], ...]:
    """An envelope in parts: text that is repeated, and (True) the names of what goes between."""
    source = msgspec.structs.replace(
        source_of(contract, origin, 0, _MARKS[SEQ], _MARKS[TX]), ts_ms=_MARKS[_MS], ts_us=_MARKS[_US], ts_ns=_MARKS[_NS]
    )
    before, after = (msgspec.Raw(mark.encode()) for mark in _IMAGE_MARKS.values())
    envelope = envelope_of(source, before if is_update else None, after)
    text = codec(contract).encode(envelope).decode()
    names = {str(mark): name for name, mark in (_MARKS | _IMAGE_MARKS).items()}
    pieces = re.split("(" + "|".join(map(re.escape, names)) + ")", text)
    return tuple((names.get(piece, piece), piece in names) for piece in pieces if piece)


def _json(contract: Contract, frame: pl.DataFrame, names: tuple[str, ...] = ()) -> pl.Series:
    """Each row, or some of its columns, as a JSON object."""
    columns = [column for column in contract.columns if not names or column.name in names]
    by_name = {
        column.name: pl.col(column.name).cast(pl.String) if isinstance(column.type, Money) else pl.col(column.name)
        for column in columns
    }
    wanted = [by_name[name] for name in names or by_name]
    return frame.select(pl.struct(wanted).struct.json_encode().alias(KEY)).to_series()


def _bytes(name: str, value: str) -> pl.Expr:
    return pl.lit(value, pl.String).cast(pl.Binary).alias(name)
