"""What COPY reads, and what is refused before it."""

from __future__ import annotations

import json
from csv import reader
from decimal import Decimal
from io import StringIO

from olist.batches import decode_batch
from sinks.postgres.staging import MOST_KEY_BYTES, csv, refused_rows
from tests.laws.parcels import PARCELS, PARTITIONS, Item, Parcel, delete, parcel, topic_of, upserts


def refused(*rows: Parcel) -> dict[int, str]:
    batch = decode_batch(PARCELS, topic_of(PARCELS), upserts(PARCELS, rows), PARTITIONS)
    return {refusal.row: refusal.reason for refusal in refused_rows(PARCELS, batch.frame)}


def test_null_and_the_empty_text_are_told_apart() -> None:
    batch = decode_batch(PARCELS, topic_of(PARCELS), upserts(PARCELS, [parcel(label="", note=None)]), PARTITIONS)
    (line,) = csv(PARCELS, batch.frame).decode().splitlines()
    assert line.startswith('p1,1,"",100,2017-07-14T02:40:00.000000,10.50,-23.5,-46.6,,,[],,')
    assert line.endswith(",false")


def test_a_list_is_json_with_money_as_text_and_moments_to_the_microsecond() -> None:
    items = [Item('a"b', 1, price=Decimal("1.10"), packed_at=-1), Item("c,\né", 2, weight_g=5e-324)]
    batch = decode_batch(PARCELS, topic_of(PARCELS), upserts(PARCELS, [parcel(items=items)]), PARTITIONS)
    ((*_, text, returned, _p, _o, _at, _deleted),) = list(reader(StringIO(csv(PARCELS, batch.frame).decode())))
    nothing = dict.fromkeys(("serial", "price", "weight_g", "packed_at", "words"))
    assert returned == ""
    assert json.loads(text) == [
        {"sku": 'a"b', "pieces": 1} | nothing | {"price": "1.10", "packed_at": "1969-12-31T23:59:59.999999"},
        {"sku": "c,\né", "pieces": 2} | nothing | {"weight_g": 5e-324},
    ]


def test_of_a_delete_only_the_key_is_there() -> None:
    batch = decode_batch(PARCELS, topic_of(PARCELS), [delete(PARCELS, ("p1", 1), 7)], PARTITIONS)
    (line,) = csv(PARCELS, batch.frame).decode().splitlines()
    assert line.startswith("p1,1,,,,,,,,,,,")
    assert line.endswith(",true")


def test_a_nul_character_is_refused_with_its_column() -> None:
    told = refused(parcel("p1"), parcel("p2", note="a\0b"), parcel("p\0", note="x"))
    listed = refused(parcel(), parcel("p2", returned=[Item("a", 1), Item("b", 1, words="\0")]))
    assert listed == {1: "returned holds a NUL character, which PostgreSQL's text cannot"}
    assert set(told) == {1, 2}
    assert told[1].startswith("note holds a NUL")
    assert told[2].startswith("parcel_id holds a NUL")


def test_a_key_that_no_index_takes_is_refused() -> None:
    told = refused(parcel("x" * MOST_KEY_BYTES), parcel("é" * (MOST_KEY_BYTES // 2 + 1)))
    assert set(told) == {1}
    assert "key is longer" in told[1]
