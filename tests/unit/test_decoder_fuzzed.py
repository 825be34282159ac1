"""Whatever bytes come: a change, or a record that is refused with its reason. Nothing else, and both decoders agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from olist.batches import decode_batch
from olist.changes import Position, codec
from olist.contracts import Contract
from olist.errors import BadRecord
from olist.tables import ORDER_ITEMS
from tests.laws.parcels import PARCELS
from tests.records import FakeRecord

CASES = 1_000  # of up to `AT_ONCE` records each
AT_ONCE = 6
ITEM: dict[str, Any] = {
    "order_id": "o",
    "order_item_id": 1,
    "product_id": "p",
    "seller_id": "s",
    "shipping_limit_date": 1_506_941_793_000_000,
    "price": "10.50",
    "freight_value": "0.00",
}
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

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["1000", "NaN"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """Real bytes with some of them cut out, doubled or replaced."""
    for _ in range(draw(st.integers(1, 3))):
        at, length = draw(st.integers(0, len(whole))), draw(st.integers(0, 12))
        put = draw(st.sampled_from(PARTS) | st.binary(max_size=4))
        whole = whole[:at] + put + whole[at + length :]
    return whole


@st.composite
def rearranged(draw: st.DrawFn) -> bytes:
    """A real envelope with anything in some of its places."""
    envelope = json.loads(VALUE)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.sampled_from([envelope, *(part for part in envelope.values() if isinstance(part, dict))]))
        name = draw(st.sampled_from([*where, "extra"]) if where else st.just("extra"))
        where[name] = draw(anything)
    return json.dumps(envelope).encode("utf-8", "surrogatepass")


keys = st.none() | st.binary(max_size=20) | st.just(KEY) | mutated(KEY)
values = st.none() | st.binary(max_size=30) | st.just(VALUE) | mutated(VALUE) | rearranged()
records = st.lists(st.tuples(keys, values), min_size=1, max_size=AT_ONCE)
Drawn = list[tuple[bytes | None, bytes | None]]


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
    assert sorted([*taken, *refused]) == list(range(len(made))), "each record is taken or refused, once"
    assert all(one.error.reason for one in batch.rejected)
    assert taken == [record.offset() for record in made if is_taken(contract, record, partitions)]


@pytest.mark.timeout(300)
@settings(max_examples=CASES, deadline=None)
@given(records, st.integers(1, 3))
@example([(KEY, VALUE)], 1)
@example([(KEY, b"[" * 100_000)], 1)
@example([(b"[" * 100_000, VALUE)], 1)
@example([(KEY, VALUE.replace(b'"10.50"', b"1E-100000000"))], 1)
@example([(KEY, VALUE.replace(b'"10.50"', b'"sNaN"'))], 1)
@example([(KEY, VALUE.replace(b'"order_id":"o"', b'"order_id":"\\ud800"'))], 1)
@example([(KEY.replace(b'"o"', b'"\\ud800"'), None)], 1)
@example([(KEY, VALUE), (KEY, None), (None, VALUE)], 3)
def test_any_bytes_are_a_change_or_refused_with_a_reason(drawn: Drawn, partitions: int) -> None:
    check(ORDER_ITEMS, drawn, partitions)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=20), rearranged() | mutated(VALUE)), min_size=1, max_size=3))
def test_a_contract_with_lists_refuses_another_tables_records(drawn: Drawn) -> None:
    check(PARCELS, drawn, 1)
