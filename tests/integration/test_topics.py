from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from olist import tables
from olist.changes import codec
from olist.clients.kafka import client_options
from olist.contracts import Contract
from olist.errors import BadInput, ServerTrouble
from olist.partitioner import partition_of
from olist.settings import Settings
from olist.settings import settings as process_settings
from olist.stack.local import Stack
from olist.topics.admin import admin_client, topic_state
from olist.topics.broker import Broker
from olist.topics.cli import group
from olist.topics.reader import HEAD_BYTES, heads, read
from olist.topics.tail import Tail, Wanted, key_bytes
from tests.laws.parcels import fresh, parcel
from tests.written import Writer

pytestmark = pytest.mark.integration

ROWS = 40


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Settings:
    return stack.settings.model_copy(update={"topic_prefix": f"topics_{uuid4().hex[:8]}"})


@pytest.fixture(scope="module")
def contract(shop: Settings) -> Contract:
    """Parcels on a topic: forty creates, then an update, a delete with its tombstone, and a bad record."""
    made = fresh()
    writer = Writer(shop)
    rows = [parcel(f"p{i}") for i in range(ROWS)]
    writer.create(made, rows)
    writer.update(made, rows[7], parcel("p7", label="moved"))
    writer.delete(made, rows[8])
    writer.raw(made, [(codec(made).encode_key(("p9", 1)), b"garbage")])
    return made


@pytest.fixture
def olist(shop: Settings, contract: Contract, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`olist topics` on the shop's topics."""
    for name in ("kafka_bootstrap", "topic_prefix"):
        monkeypatch.setenv(f"OLIST_{name.removesuffix('_bootstrap').upper()}", getattr(shop, name))
    monkeypatch.setitem(tables.TABLES, contract.table, contract)
    process_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(group, arguments)
    process_settings.cache_clear()


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_ls_shows_the_prefixs_topics_and_all_shows_others(olist: Any, shop: Settings, contract: Contract) -> None:
    (found,) = json.loads(olist("ls", "-o", "json").output)
    assert found["topic"] == contract.topic(shop.topic_prefix)
    assert (found["partitions"], found["offsets"]) == (shop.partitions, ROWS + 4)
    assert found["cleanup.policy"] == "compact"
    assert contract.table in olist("ls", "--all").output


def test_describe_shows_id_offsets_own_settings_and_columns(olist: Any, contract: Contract) -> None:
    found = json.loads(olist("describe", contract.table, "-o", "json").output)
    assert sum(one["end"] - one["first"] for one in found["partitions"]) == ROWS + 4
    assert found["settings"] == contract.topic_config
    assert [one["name"] for one in found["columns"]] == [column.name for column in contract.columns]
    shown = olist("describe", contract.table).output
    assert found["topic_id"] in shown
    assert "money (12, 2)" in shown


def test_tail_shows_the_newest_in_order_and_bad_records_as_such(olist: Any, contract: Contract) -> None:
    found = lines(olist("tail", contract.table, "-n", "4", "-o", "json"))
    assert sorted(one["op"] for one in found) == ["bad", "d", "tombstone", "u"]
    by_op = {one["op"]: one for one in found}
    assert by_op["u"]["changed"] == {"label": ["plain", "moved"]}
    assert "malformed" in by_op["bad"]["reason"]
    assert len(lines(olist("tail", contract.table, "-o", "json"))) == 10
    assert "label: plain -> moved" in olist("tail", contract.table).output


def test_tail_of_a_key_shows_its_whole_life(olist: Any, contract: Contract) -> None:
    key = '{"parcel_id": "p7", "leg": 1}'
    assert [one["op"] for one in lines(olist("tail", contract.table, "--key", key, "-o", "json"))] == ["c", "u"]
    assert [o["op"] for o in lines(olist("tail", contract.table, "--key", key, "-n", "1", "-o", "json"))] == ["u"]


def test_tail_from_an_offset_goes_forward(olist: Any, contract: Contract) -> None:
    found = lines(olist("tail", contract.table, "--partition", "1", "--offset", "2", "-n", "3", "-o", "json"))
    assert [(one["partition"], one["offset"]) for one in found] == [(1, 2), (1, 3), (1, 4)]


def test_tail_since_a_time_shows_what_came_after_it(olist: Any, contract: Contract) -> None:
    assert len(lines(olist("tail", contract.table, "--since", "1h", "-o", "json"))) == ROWS + 4
    assert not lines(olist("tail", contract.table, "--since", "2200-01-01", "-o", "json"))


def test_tail_follows_what_comes(shop: Settings) -> None:
    contract, writer, broker = fresh(), Writer(shop), Broker(shop)
    writer.create(contract, [parcel("before")])
    state = topic_state(broker.admin, contract.topic(shop.topic_prefix))
    tail = Tail(broker, state, contract, Wanted(0))
    assert not list(tail.there())
    writer.create(contract, [parcel("after")])
    (seen,) = islice(tail.next(), 1)
    assert (seen.op, seen.key) == ("c", {"parcel_id": "after", "leg": 1})
    broker.admin.delete_topics([state.topic])[state.topic].result()


def test_a_key_that_another_producer_put_elsewhere_is_found_everywhere(
    olist: Any, shop: Settings, contract: Contract
) -> None:
    key = '{"parcel_id": "p30", "leg": 1}'
    own = partition_of(key_bytes(key, contract), shop.partitions)
    producer = Producer(client_options(shop))
    producer.produce(contract.topic(shop.topic_prefix), key=key, value=b"{}", partition=(own + 1) % shop.partitions)
    producer.flush()
    here = olist("tail", contract.table, "--key", key, "-o", "json")
    assert f"partition {own} of {shop.partitions}" in here.stderr
    assert "--everywhere" in here.stderr
    assert [one["op"] for one in lines(here)] == ["c"]
    there = olist("tail", contract.table, "--key", key, "--everywhere", "-o", "json")
    assert not there.stderr
    assert [one["op"] for one in lines(there)] == ["c", "bad"]


def test_every_key_is_found_in_the_one_partition_it_is_looked_for(shop: Settings, contract: Contract) -> None:
    broker = Broker(shop)
    state = topic_state(broker.admin, contract.topic(shop.topic_prefix))
    for i in range(ROWS):
        text = msgspec.json.encode({"parcel_id": f"p{i}", "leg": 1}).decode()
        tail = Tail(broker, state, contract, Wanted(None, key=key_bytes(text, contract)))
        assert len(tail.partitions) == 1
        if i < 4:  # reading is slow, and where a key is looked for is one function of its bytes
            assert [seen.key for seen in tail.there()] == [{"parcel_id": f"p{i}", "leg": 1}]


def test_a_topic_that_is_not_there_is_answered_with_the_nearest(olist: Any, contract: Contract) -> None:
    error = olist("tail", contract.table[:-1]).exception
    assert isinstance(error, BadInput)
    assert contract.table in error.hint


def test_kafka_that_does_not_answer_is_said_so_with_the_way_out(shop: Settings) -> None:
    gone = shop.model_copy(update={"kafka": "127.0.0.1:1"})
    with pytest.raises(ServerTrouble, match=r"127\.0\.0\.1:1 does not answer") as caught:
        Broker(gone).names()
    assert "olist up" in caught.value.hint


def test_a_topic_that_ends_with_transaction_markers_is_read_to_its_end_without_what_was_aborted(shop: Settings) -> None:
    contract, writer = fresh(), Writer(shop)
    writer.create(contract, [parcel("first")])
    topic = contract.topic(shop.topic_prefix)
    producer = Producer({**client_options(shop), "transactional.id": f"tests-{uuid4()}"})
    producer.init_transactions(30)
    for key, finish in ((b"aborted", producer.abort_transaction), (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        for partition in range(shop.partitions):
            producer.produce(topic, key=key, value=None, partition=partition)
        producer.flush(30)
        finish(30)
    state = topic_state(admin_client(shop), topic)
    assert sum(state.end.values()) == 1 + 4 * shop.partitions  # two records and two markers a partition
    found = [r for records in read(shop, topic, state.first, state.end) for r in records]
    assert {record.key() for record in found} == {b"committed", codec(contract).encode_key(("first", 1))}
    assert len(found) == 1 + shop.partitions


@pytest.mark.timeout(60)
def test_first_records_are_found_though_each_stands_in_a_batch_larger_than_what_is_asked_for(shop: Settings) -> None:
    """A broker gives such a batch of one partition at a time, and whoever goes on reading that waits for the others."""
    contract, batches = fresh(), 40  # of each partition
    Writer(shop).create(contract, [])
    topic = contract.topic(shop.topic_prefix)
    producer = Producer({**client_options(shop), "linger.ms": 0, "batch.size": 2 * HEAD_BYTES})
    for number in range(batches * shop.partitions):
        producer.produce(topic, os.urandom(HEAD_BYTES), b"%d" % number, partition=number % shop.partitions)
    assert producer.flush(30) == 0
    began = time.monotonic()
    found = heads(shop, {(topic, partition): 0 for partition in range(shop.partitions)})
    assert {record.key() for record in found} == {b"%d" % partition for partition in range(shop.partitions)}
    assert len(found) == shop.partitions
    assert time.monotonic() - began < 15
