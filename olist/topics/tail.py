"""Which records a tail shows: the last N, from an offset, since a time, of one key; then, if asked, what comes next.

Times are read as people say them, and become offsets per partition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined] # a public name, re-exported without `as`

from olist.changes import MALFORMED, Position, codec
from olist.contracts import Contract
from olist.errors import BadInput
from olist.partitioner import partition_of
from olist.positions import TopicState
from olist.topics.admin import TIMEOUT_S
from olist.topics.broker import Broker, away
from olist.topics.reader import Consumed, follow, read
from olist.topics.record_decoding import Seen, see

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


WIDER = 4


@dataclass(frozen=True)
class Wanted:
    """What was asked for. `offset` and `since` begin somewhere and go forward; otherwise the newest are shown.

    A `key` is looked for in the partition where it belongs, unless it shall be looked for `everywhere`.
    """

    records: int | None
    offset: int | None = None
    since: datetime | None = None
    partition: int | None = None
    key: bytes | None = None
    everywhere: bool = False

    @property
    def forward(self) -> bool:
        """From a beginning on, rather than the newest."""
        return self.offset is not None or self.since is not None


def key_bytes(text: str, contract: Contract | None) -> bytes:
    """The record key of ``{"column": value}`` or, for one key column, of its plain value.

    Raises:
        BadInput: the text is no key of this contract.
    """
    if contract is None:
        return text.encode(errors="surrogateescape")  # bytes that were no UTF-8 on the command line are those bytes
    made = codec(contract)
    if not _is_utf8(text):
        raise BadInput(f"no key of {contract.table}: {text}", hint="it has bytes that are no UTF-8")
    plain = not text.lstrip().startswith("{")
    if plain and len(contract.key) > 1:
        raise BadInput(
            f"{contract.table} has a key of {len(contract.key)} columns",
            hint="write it as JSON: " + msgspec.json.encode(dict.fromkeys(contract.key, "...")).decode(),
        )
    texts = [text, msgspec.json.encode(text).decode()] if plain else [text]
    candidates = [f'{{"{contract.key[0]}":{one}}}' for one in texts] if plain else texts
    problem = ""
    for candidate in candidates:
        try:
            return made.encode_key(made.decode_key(candidate.encode()))
        except MALFORMED as error:
            problem = str(error)
    raise BadInput(f"no key of {contract.table}: {text}", hint=problem)


def _is_utf8(text: str) -> bool:
    """False for a text of the command line whose bytes were none: Python gives those as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class Tail:
    """One topic, looked at."""

    def __init__(self, broker: Broker, state: TopicState, contract: Contract | None, wanted: Wanted) -> None:
        self.broker, self.state, self.contract, self.wanted = broker, state, contract, wanted
        only = wanted.partition
        if wanted.key is not None and only is None and not wanted.everywhere:
            only = partition_of(wanted.key, len(state.end))
        self.partitions = partitions_of(state, only)

    def there(self) -> Iterator[Seen]:
        """What is there now and was asked for."""
        if self.wanted.forward:
            found = self._kept(message for part in self._read(self._first()) for message in part)
            return islice(map(self._seen, found), self.wanted.records)
        return map(self._seen, self._newest())

    def next(self) -> Iterator[Seen]:
        """What comes after the state that was looked at, for ever."""
        ends = {partition: self.state.end[partition] for partition in self.partitions}
        for messages in follow(self.broker.settings, self.state.topic, ends):
            yield from map(self._seen, self._kept(messages))

    def _newest(self) -> list[Consumed]:
        """The newest records by timestamp. Where holes leave too few of them, a longer stretch is read again."""
        records = self.wanted.records
        if records == 0:
            return []
        back = records if self.wanted.key is None else None
        while True:
            start = self._all() if back is None else before_end(self.state, self.partitions, back)
            found = list(self._kept(message for part in self._read(start) for message in part))
            if back is None or records is None or len(found) >= records or start == self._all():
                found.sort(key=lambda message: (message.timestamp()[1], message.partition(), message.offset()))
                return found if records is None else found[-records:]
            back *= WIDER

    def _all(self) -> dict[int, int]:
        return {partition: self.state.first[partition] for partition in self.partitions}

    def _first(self) -> dict[int, int]:
        if self.wanted.offset is not None:
            return clamped(self.state, dict.fromkeys(self.partitions, self.wanted.offset))
        assert self.wanted.since is not None
        return self._at(max(0, int(self.wanted.since.timestamp() * 1000)))  # below 0 are Kafka's own marks

    def _at(self, timestamp_ms: int) -> dict[int, int]:
        """Per partition the first offset at or after a time; the end where there is none."""
        spec = OffsetSpec.for_timestamp(timestamp_ms)
        asked = {TopicPartition(self.state.topic, partition): spec for partition in self.partitions}
        found: dict[int, int] = {}
        for partition, future in self.broker.admin.list_offsets(asked, request_timeout=TIMEOUT_S).items():
            try:
                offset = future.result().offset
            except KafkaException as error:
                raise away(self.broker.bootstrap, error) from error
            found[partition.partition] = offset if offset >= 0 else self.state.end[partition.partition]
        return clamped(self.state, found)

    def _read(self, first: Mapping[int, int]) -> Iterator[list[Consumed]]:
        return read(self.broker.settings, self.state.topic, first, self.state.end)

    def _kept(self, messages: Iterable[Consumed]) -> Iterator[Consumed]:
        key = self.wanted.key
        return (m for m in messages if key is None or m.key() == key or self._spells_the_same(m.key(), key))

    def _spells_the_same(self, found: bytes | None, key: bytes) -> bool:
        """True for the same key in other bytes (spaces, order), which belongs to another partition: looked for
        everywhere only.
        """
        if not self.wanted.everywhere or self.contract is None or found is None:
            return False
        made = codec(self.contract)
        try:
            return made.decode_key(found) == made.decode_key(key)
        except MALFORMED:
            return False

    def _seen(self, message: Consumed) -> Seen:
        at = Position(self.state.topic, message.partition(), message.offset())
        return see(self.contract, message, at, len(self.state.end))
