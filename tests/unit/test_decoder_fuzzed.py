"""Whatever bytes come: a change, or a record that is refused with its reason. Nothing else, and both decoders agree."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.batches import decode_batch
from olist.changes import Position, codec
from olist.contracts import Contract
from olist.errors import BadRecord
from olist.tables import ORDER_ITEMS
from tests.fuzzed import cases
from tests.laws.parcels import PARCELS
from tests.records import ITEM, FakeRecord

SIZES = (1, 2, 3, 6, 20)  # of batches: the more records, the rarer is one whose neighbours are all good
CASES = cases(600)  # some 3,800 records, ten times as many in a long run
T = TypeVar("T")
ENVELOPE: dict[str, Any] = {
    "before": None,
    "after": ITEM,
    "source": {"connector": "postgresql", "ts_ms": 1_600_000_000_000, "ts_us": 1_600_000_000_000_000, "lsn": 7},
    "op": "c",
    "ts_ms": 1_600_000_000_000,
}
KEY = b'{"order_id":"o","order_item_id":1}'
VALUE = json.dumps(ENVELOPE, separators=(",", ":")).encode()
PARTS = [b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u", b"\\ud800", b",", b":", b"null", b"true", b"NaN", b"-", b"1e999"]
PARTS += [b"1E-999999", b"9" * 40, b"\xff", b"\0", b"\xed\xa0\x80", b"[" * 3_000, b'"d"', b'"t"', b'"u"', b'"AA=="']

SCALARS: list[Any] = [None, True, False, 0, -1, 1 << 31, 1 << 63, -(1 << 200), 0.5, -1e308, float("nan"), float("inf")]
SCALARS += ["", "1000", "NaN", "10.5", "é", "\0", "\ud800", "\U0001f600", '"', "\\"]
NAMES = [*ENVELOPE, *ITEM, "extra", "", "é"]

Drawn = list[tuple[bytes | None, bytes | None]]


@dataclass
class Records:
    """Drawn by a seed, and Hypothesis draws that alone: to draw every byte takes it ten times what decoding does."""

    chance: Random

    def batch(self) -> Drawn:
        return [(self.key(), self.value()) for _ in range(self.chance.choice(SIZES))]

    def key(self) -> bytes | None:
        return self.one_of(lambda: None, lambda: self.random_bytes(20), lambda: KEY, lambda: self.mutated(KEY))

    def value(self) -> bytes | None:
        return self.one_of(lambda: None, lambda: self.random_bytes(30), lambda: VALUE, self.anothers)

    def anothers(self) -> bytes:
        """Of an envelope that is nearly right."""
        return self.one_of(lambda: self.mutated(VALUE), self.rearranged)

    def one_of(self, *ways: Callable[[], T]) -> T:
        return self.chance.choice(ways)()

    def random_bytes(self, most: int) -> bytes:
        return self.chance.randbytes(self.chance.randint(0, most))

    def mutated(self, whole: bytes) -> bytes:
        """Real bytes with some of them cut out, doubled or replaced."""
        for _ in range(self.chance.randint(1, 3)):
            at, length = self.chance.randint(0, len(whole)), self.chance.randint(0, 12)
            put = self.one_of(lambda: self.chance.choice(PARTS), lambda: self.random_bytes(4))
            whole = whole[:at] + put + whole[at + length :]
        return whole

    def rearranged(self) -> bytes:
        """A real envelope with anything in some of its places."""
        envelope = json.loads(VALUE)
        for _ in range(self.chance.randint(1, 3)):
            where = self.chance.choice([envelope, *(part for part in envelope.values() if isinstance(part, dict))])
            where[self.chance.choice([*where, "extra"])] = self.anything(3)
        return json.dumps(envelope).encode("utf-8", "surrogatepass")

    def anything(self, depth: int) -> Any:
        """A value of JSON, nested so deep at most."""
        kind = self.chance.random() if depth else 0.0
        if kind < 0.5:
            return self.one_of(lambda: self.chance.choice(SCALARS), lambda: self.chance.randint(-(1 << 70), 1 << 70))
        inner = [self.anything(depth - 1) for _ in range(self.chance.randint(0, 3))]
        return inner if kind < 0.75 else {self.chance.choice(NAMES): value for value in inner}


def is_taken(contract: Contract, record: FakeRecord, partitions: int) -> bool:
    try:
        codec(contract).decode(record.key(), record.value(), Position("t", 0, record.offset()), partitions)
    except BadRecord:
        return False
    return True


def check(contract: Contract, drawn: Drawn, partitions: int) -> None:
    made = [FakeRecord(key, value, offset) for offset, (key, value) in enumerate(drawn)]
    batch = decode_batch(contract, "t", made, partitions)
    taken = batch.frame["_kafka_offset"].to_list()
    refused = sorted(one.error.offset for one in batch.rejected)
    assert sorted([*taken, *refused]) == list(range(len(made))), f"each of {drawn} is taken or refused, once"
    assert all(one.error.reason for one in batch.rejected)
    assert taken == [record.offset() for record in made if is_taken(contract, record, partitions)]


@pytest.mark.parametrize(
    "drawn",
    [
        [(KEY, VALUE)],
        [(KEY, b"[" * 100_000)],
        [(b"[" * 100_000, VALUE)],
        [(KEY, VALUE.replace(b'"10.50"', b"1E-100000000"))],
        [(KEY, VALUE.replace(b'"10.50"', b'"sNaN"'))],
        [(KEY, VALUE.replace(b'"order_id":"o"', b'"order_id":"\\ud800"'))],
        [(KEY.replace(b'"o"', b'"\\ud800"'), None)],
        [(KEY, VALUE), (KEY, None), (None, VALUE)],
    ],
    ids=itertools.count(),
)
def test_bytes_that_were_trouble_once_are_a_change_or_refused_with_a_reason(drawn: Drawn) -> None:
    for partitions in (1, 3):
        check(ORDER_ITEMS, drawn, partitions)


@settings(max_examples=CASES)
@given(st.integers(0, 1 << 64), st.integers(1, 3))
def test_any_bytes_are_a_change_or_refused_with_a_reason(seed: int, partitions: int) -> None:
    check(ORDER_ITEMS, Records(Random(seed)).batch(), partitions)


@settings(max_examples=cases(150))
@given(st.integers(0, 1 << 64))
def test_a_contract_with_lists_refuses_another_tables_records(seed: int) -> None:
    records = Records(Random(seed))
    check(PARCELS, [(records.random_bytes(20), records.anothers()) for _ in range(records.chance.choice(SIZES))], 1)
