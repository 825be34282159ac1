"""A batch as the lines of a bulk request."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from olist.batches import decode_batch
from olist.contracts import Contract, Row, Str
from sinks.opensearch.documents import ID, LINES, refused_ids, with_ids, with_lines
from tests.laws.parcels import PARCELS, PARTITIONS, Item, Taken, delete, parcel, topic_of, upsert, upserts


class Word(Row):
    """A table with one text as its key."""

    word: Str


WORDS = Contract("words", Word, key=("word",))


def framed(contract: Contract, *records: Taken) -> pl.DataFrame:
    return with_ids(contract, decode_batch(contract, topic_of(contract), records, PARTITIONS).frame)


def lines(contract: Contract, *records: Taken) -> list[dict[str, Any]]:
    text: str = with_lines(contract, framed(contract, *records))[LINES].str.join("").item()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_an_upsert_is_its_action_and_its_row() -> None:
    action, document = lines(PARCELS, upsert(PARCELS, parcel(note="olá\r\n"), 41))
    assert action == {"index": {"_id": "p1|1", "version": 42, "version_type": "external"}}
    assert document == {
        "parcel_id": "p1",
        "leg": 1,
        "label": "plain",
        "weight_g": 100,
        "sent_at": "2017-07-14T02:40:00.000000",
        "price": "10.50",
        "latitude": -23.5,
        "longitude": -46.6,
        "arrived_at": None,
        "note": "olá\r\n",
        "items": [],
        "returned": None,
        "place": {"lat": -23.5, "lon": -46.6},
        "_deleted": False,
        "_kafka_partition": document["_kafka_partition"],
        "_kafka_offset": 41,
        "_committed_at": "2023-11-14T22:14:01.000000",
    }


def test_a_list_is_an_array_of_objects() -> None:
    items = [Item("a", 1, price=Decimal("1.10"), packed_at=-1), Item("b", 2, words="pão")]
    _, document = lines(PARCELS, upsert(PARCELS, parcel(returned=items), 0))
    nothing = dict.fromkeys(("serial", "price", "weight_g", "packed_at", "words"))
    assert document["returned"] == [
        {"sku": "a", "pieces": 1} | nothing | {"price": "1.10", "packed_at": "1969-12-31T23:59:59.999999"},
        {"sku": "b", "pieces": 2} | nothing | {"words": "pão"},
    ]


def test_half_a_point_is_none() -> None:
    _, document = lines(PARCELS, upsert(PARCELS, parcel(latitude=None), 0))
    assert document["place"] is None


def test_a_delete_is_a_small_document_with_its_version() -> None:
    action, document = lines(PARCELS, delete(PARCELS, ("p1", 1), 7))
    assert action["index"] == {"_id": "p1|1", "version": 8, "version_type": "external"}
    assert set(document) == {"parcel_id", "leg", "_deleted", "_kafka_partition", "_kafka_offset", "_committed_at"}
    assert document["_deleted"] is True


def test_no_two_keys_share_an_id() -> None:
    keys = [("a", 1), ("a|1", 1), ("a\\", 1), ("a\\|1", 1), ("a\\\\|1", 1), ("|", 1), ("", 1), ("\\|", 1)]
    ids = framed(PARCELS, *upserts(PARCELS, [parcel(*key) for key in keys]))[ID].to_list()
    assert len(set(ids)) == len(keys)
    assert ids[:3] == ["a|1", "a\\|1|1", "a\\\\|1"]


def test_a_key_of_one_column_is_the_id_itself() -> None:
    assert framed(WORDS, upsert(WORDS, Word("a|b\\c"), 0))[ID].to_list() == ["a|b\\c"]


@pytest.mark.parametrize(("word", "told"), [("", "empty"), ("x" * 513, "longer than the 512"), ("é" * 257, "longer")])
def test_an_id_that_would_refuse_its_whole_request_is_refused_alone(word: str, told: str) -> None:
    frame = framed(WORDS, *upserts(WORDS, [Word("fine"), Word(word), Word("x" * 512)]))
    (refusal,) = refused_ids(frame)
    assert refusal.row == 1
    assert told in refusal.reason
