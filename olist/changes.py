"""Bytes to `Change` and back: the only place that knows the Debezium envelope.

The wire is Debezium's JSON without schemas (``value.converter.schemas.enable=false``), money as strings, timestamps as
int64 microseconds; a delete is an envelope with ``op: d`` and then a tombstone. Source: Debezium 3.7, PostgreSQL
connector, "Data change events".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Generic, Literal, TypeVar, get_type_hints

import msgspec

from olist.contracts import LAST_MICROS, MILLIS_UNTIL_2100, Column, Contract, ListOf, Money, Row, Timestamp
from olist.diagnosis import advice, explained
from olist.errors import BadRecord
from olist.partitioner import partition_of

Op = Literal["c", "u", "r", "d"]

# What Debezium writes for a TOASTed text that an update did not touch, under default replica identity.
UNAVAILABLE = "__debezium_unavailable_value"

# A lone tombstone read as an envelope: a delete of which nothing but the key is known.
TOMBSTONE = b'{"op":"d","source":{"ts_ms":0}}'

OF_NO_ROW = ("t", "m")  # a truncate, a logical message

# What decoding raises for bytes that are not what they should be. RecursionError: nested a thousand levels deep.
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

R = TypeVar("R")


class Position(msgspec.Struct, frozen=True, order=True):
    """Where a change stands: the offset orders the changes of a key, since a key stays in its partition."""

    topic: str
    partition: int
    offset: int


class Change(msgspec.Struct, frozen=True):
    """One change of one row. `row` is None for a delete; `key` holds the key columns' values in key order."""

    op: Op
    key: tuple[Any, ...]
    row: Row | None
    position: Position
    committed_us: int  # when the source committed it, microseconds since 1970; 0 for a lone tombstone


class Source(msgspec.Struct, omit_defaults=False):
    """Debezium's ``source`` block, fields in its order."""

    version: str
    connector: str
    name: str
    ts_ms: int
    snapshot: str
    db: str
    sequence: str | None
    ts_us: int
    ts_ns: int
    schema: str
    table: str
    txId: int | None
    lsn: int | None
    xmin: int | None = None
    origin: str | None = None
    origin_lsn: int | None = None


class Envelope(msgspec.Struct, Generic[R], omit_defaults=True, kw_only=True):
    """A whole envelope, in Debezium's order. A truncate has neither image, a logical message ``message`` instead."""

    before: R | msgspec.UnsetType | None = msgspec.UNSET
    after: R | msgspec.UnsetType | None = msgspec.UNSET
    source: Source
    transaction: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    op: str
    ts_ms: int
    message: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    ts_us: int | msgspec.UnsetType = msgspec.UNSET
    ts_ns: int | msgspec.UnsetType = msgspec.UNSET


class Stamp(msgspec.Struct, gc=False):
    """What a reader needs of the ``source`` block."""

    ts_ms: Annotated[int, msgspec.Meta(ge=0, le=LAST_MICROS // 1000)]
    ts_us: Annotated[int, msgspec.Meta(ge=0, le=LAST_MICROS)] = 0

    def committed_us(self) -> int:
        """Commit time at the source in microseconds; Debezium before 2.6 knows milliseconds only."""
        return self.ts_us or self.ts_ms * 1000


class Image(msgspec.Struct, Generic[R], gc=False):
    """What a reader needs of an envelope. The before-image is skipped unread: under default identity it is made up."""

    op: Literal["c", "u", "r", "d", "t", "m"]
    source: Stamp
    after: R | None = None


class Images(msgspec.Struct):
    """What a person looks at of an envelope of any table, contract or not: both images, if it has them."""

    op: str
    source: Stamp
    before: Any = None
    after: Any = None


class Codec:
    """Decoders and encoders of one contract.

    Decoding is strict: an unknown field raises `msgspec.ValidationError`, and `decode_known` then reads the rest and
    tells which fields it left out.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        hints = get_type_hints(contract.row, include_extras=True)
        fields = [(name, hints[name]) for name in contract.key]
        namespace = {"__module__": contract.row.__module__}
        self.key_type = msgspec.defstruct(
            f"{contract.row.__name__}Key", fields, forbid_unknown_fields=True, gc=False, namespace=namespace
        )
        self.key = msgspec.json.Decoder(self.key_type)
        self.image: msgspec.json.Decoder[Image[Row]] = msgspec.json.Decoder(Image[contract.row])  # type: ignore[name-defined]
        self.encoder = msgspec.json.Encoder(decimal_format="string")
        self._names = frozenset(column.name for column in contract.columns)
        self._loose = msgspec.json.Decoder(Image[dict[str, msgspec.Raw]])
        self._inside = {
            column.name: frozenset(one.name for one in column.type.columns)
            for column in contract.columns
            if isinstance(column.type, ListOf)
        }

    def decode_key(self, key: bytes) -> tuple[Any, ...]:
        """The key columns' values in key order."""
        return tuple(getattr(self.key.decode(key), name) for name in self.contract.key)

    def decode_known(self, value: bytes) -> tuple[Image[Row], tuple[str, ...]]:
        """Decode what the contract knows, and the names of the fields it does not: ``name``, or ``list[].name``.

        What a delete has for an after-image is not read: from a collection of documents it is an empty one.
        """
        loose = self._loose.decode(value)
        if loose.after is None or loose.op == "d":
            return Image(loose.op, loose.source, None), ()
        unknown = [name for name in loose.after if name not in self._names]
        known: dict[str, Any] = {name: raw for name, raw in loose.after.items() if name in self._names}
        for name in self._inside.keys() & known.keys():
            known[name], unknown_inside = _known_rows(known[name], self._inside[name])
            unknown += [f"{name}[].{field}" for field in unknown_inside]
        row = msgspec.json.decode(msgspec.json.encode(known), type=self.contract.row)
        return Image(loose.op, loose.source, row), tuple(unknown)

    def encode_key(self, values: tuple[Any, ...]) -> bytes:
        """The record key: a JSON object of the key columns in key order, to the byte as Debezium and Flink write it."""
        return java_escapes(self.encoder.encode(dict(zip(self.contract.key, values, strict=True))))

    def key_lines(self, keys: Iterable[Any]) -> bytes:
        """`encode_key` of many decoded keys, a line each."""
        return java_escapes(self.encoder.encode_lines(keys))

    def key_of(self, row: Row) -> tuple[Any, ...]:
        """The key columns' values of a row."""
        return tuple(getattr(row, name) for name in self.contract.key)

    def encode(self, envelope: Envelope[Row]) -> bytes:
        """The record value of an envelope."""
        return self.encoder.encode(envelope)

    def decode(
        self, key: bytes | None, value: bytes | None, position: Position, partitions: int | None = None
    ) -> Change:
        """Decode one record of a topic of so many partitions; without their number, where its key lies is not judged.

        Raises:
            BadRecord: anything that is not a row change of this contract, with topic, partition, offset and reason.
        """
        try:
            change = self._decode(key, value, position)
            if partitions is not None:
                self._check_partition(change, partitions)
            return change
        except (*MALFORMED, ValueError) as error:
            reason = explained(self.contract, key or b"", value or b"", str(error))
            raise BadRecord(position.topic, position.partition, position.offset, reason) from error

    def _decode(self, key: bytes | None, value: bytes | None, position: Position) -> Change:
        if key is None:
            raise ValueError("the record has no key" + (" (a truncate?)" if value and b'"op":"t"' in value else ""))
        values = self.decode_key(key)
        if value is None:
            return Change("d", values, None, position, 0)
        try:
            image = self.image.decode(value)
        except msgspec.ValidationError:
            image, _unknown = self.decode_known(value)
        if image.op == "d":
            return Change("d", values, None, position, image.source.committed_us())
        if image.after is None or image.op == "t" or image.op == "m":
            raise ValueError(why_no_row(image))
        self.check_row(image.after, values)
        self._check_spellings(image, value)
        return Change(image.op, values, image.after, position, image.source.committed_us())

    def _check_spellings(self, image: Image[Row], value: bytes) -> None:
        for column in self.contract.columns:
            held = getattr(image.after, column.name)
            problem = time_problem(column, held, image.source.committed_us()) or self.money_problem(column, held, value)
            if problem:
                raise ValueError(problem)

    def money_problem(self, column: Column, held: object, value: bytes) -> str:
        """Why a decoded amount may be another number than the record's sender meant, or nothing.

        In its default mode Debezium writes a decimal as the base64 of its bytes, and some of these read as numbers:
        ``"1000"`` may be 1000 or 140527.04. With its decimal point, an amount is no base64.
        """
        if not (isinstance(column.type, Money) and column.type.scale and _is_whole(held)):
            return ""
        spelt = bytes((self._loose.decode(value).after or {}).get(column.name, b""))
        if not _BASE64.fullmatch(spelt):
            return ""
        return f"{column.name} is {spelt.decode()}, which may be base64: write its decimals, or {advice(column.type)}"

    def _check_partition(self, change: Change, partitions: int) -> None:
        key = self.encode_key(change.key)
        if (own := partition_of(key, partitions)) != change.position.partition:
            raise ValueError(misplaced(key, own, partitions))

    def check_row(self, row: Row, key: tuple[Any, ...]) -> None:
        """What types cannot say of one row.

        Raises:
            ValueError: key and row disagree, a decimal that its column cannot hold, or Debezium's stand-in for a value.
        """
        if self.key_of(row) != key:
            raise ValueError(f"the key says {key}, the row {self.key_of(row)}")
        for column in self.contract.columns:
            value = getattr(row, column.name)
            if value == UNAVAILABLE or (column.name in self._inside and value and _any_unavailable(value)):
                raise ValueError(f"{column.name} was not captured; the source table needs REPLICA IDENTITY FULL")
            if problem := column.problem(value):
                raise ValueError(problem)


def _is_whole(value: object) -> bool:
    """Whether a decimal was spelt without a digit after its point."""
    return isinstance(value, Decimal) and value.is_finite() and int(value.as_tuple().exponent) >= 0


def time_problem(column: Column, value: object, committed_us: int) -> str:
    """Why a time may be another one than the record's sender meant, or nothing.

    A time of ours in milliseconds reads as one of January 1970. It is refused, unless the change itself is that old.
    """
    if not isinstance(column.type, Timestamp) or column.near_1970 or not isinstance(value, int):
        return ""
    if not 0 < abs(value) < MILLIS_UNTIL_2100 or 0 < committed_us < MILLIS_UNTIL_2100:
        return ""
    return (
        f"{column.name} is {value}: in microseconds that is a day of early 1970, so it may be milliseconds; "
        f"{advice(column.type)} (a column that does hold such times is declared with Near1970())"
    )


def why_no_row(image: Image[Row]) -> str:
    """Why an image is no change of a row, given that it is none."""
    if image.op in OF_NO_ROW:
        return f"op {image.op} is not a change of a row"
    return f"op {image.op} without an after-image"


def misplaced(key: bytes, own: int, partitions: int) -> str:
    """Why a record is refused that lies in another partition than its key's own."""
    return (
        f"its key belongs to partition {own} of {partitions}: only within one partition are a key's changes in order. "
        f"Its producer must choose the partition by murmur2, as Java clients do (librdkafka: "
        f"partitioner=murmur2_random), from the key spelt {key.decode()}"
    )


def java_escapes(text: bytes) -> bytes:
    r"""JSON from msgspec as Jackson spells it, which Kafka Connect and Flink write with: ``\u001F``, not ``\u001f``.

    All else is alike to the byte. It matters for keys alone: their bytes say which partition they belong to.
    """
    return _ESCAPES.sub(_in_capitals, text) if b"\\" in text else text


def _in_capitals(escape: re.Match[bytes]) -> bytes:
    digits = escape[1]
    return b"\\u" + digits.upper() if digits else escape[0]


_BASE64 = re.compile(rb'"(?:[A-Za-z0-9+/]{4})+"')
_ESCAPES = re.compile(rb"\\(?:u(.{4})|.)")  # any escape, so that an escaped backslash before a u is none


def _known_rows(rows: msgspec.Raw, names: frozenset[str]) -> tuple[Any, list[str]]:
    """The rows of a list with the fields of these names, and the names of the others, each once.

    What is no list of objects comes back as it is: the row's own decoder says where it does not fit.
    """
    try:
        decoded = _ROWS.decode(rows)
    except msgspec.ValidationError:
        return rows, []
    others = dict.fromkeys(name for row in decoded for name in row if name not in names)
    return [{name: raw for name, raw in row.items() if name in names} for row in decoded], list(others)


def _any_unavailable(rows: list[Row]) -> bool:
    return any(value == UNAVAILABLE for row in rows for value in msgspec.structs.astuple(row))


_ROWS: msgspec.json.Decoder[list[dict[str, msgspec.Raw]]] = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


@lru_cache(maxsize=64)
def codec(contract: Contract) -> Codec:
    """The contract's codec, built once."""
    return Codec(contract)


def decode_envelope(value: bytes) -> Envelope[dict[str, Any]]:
    """Decode an envelope of any table, contract or not, keeping every field.

    Raises:
        `MALFORMED`: the bytes are no Debezium envelope.
    """
    return _ANY.decode(value)


def decode_images(value: bytes) -> Images:
    """Decode what is to be looked at of an envelope, of any version of Debezium.

    Raises:
        `MALFORMED`: the bytes are no Debezium envelope.
    """
    return _IMAGES.decode(value)


_IMAGES: msgspec.json.Decoder[Images] = msgspec.json.Decoder(Images)
_ANY: msgspec.json.Decoder[Envelope[dict[str, Any]]] = msgspec.json.Decoder(Envelope[dict[str, Any]])
