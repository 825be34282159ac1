"""A replay onto a real Kafka: every change exactly once and in order, whatever ended the runs before."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from olist.changes import Position, codec
from olist.clients.kafka import client_options
from olist.errors import Stopped
from olist.settings import Settings
from olist.source import Dataset, iter_rows, load
from olist.stack.local import Stack
from olist.tables import CUSTOMERS, ORDERS, TABLES
from olist.topics.admin import admin_client, ensure_topics, topic_states
from producers.encoding import KEY, VALUE, encode, keys_of
from producers.generation.dataset import generate
from producers.kafka_producer import Sender
from producers.progress import Progress
from producers.rate import Pace
from producers.replay import Run, check_ends, make_plan, origin_of
from producers.resume import PARTITION, placed
from producers.sequence import TABLE, TABLE_NAMES, sequence
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

ORDERS_MADE = 1500
REAL_DATA = Path(__file__).parents[3] / "shared" / "olist" / "brazilian-ecommerce.zip"
DEADLINE_S = 120.0
_prefixes = count(1)


class Stored(NamedTuple):
    key: bytes
    value: bytes


Topics = dict[tuple[str, int], list[Stored]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay") / "data"
    generate(folder, ORDERS_MADE, 1, lambda _done: None)
    return folder


@pytest.fixture(scope="module")
def dataset(data: Path) -> Dataset:
    return load(data)


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """The stack's, with topics of one's own."""
    return stack.settings.model_copy(update={"topic_prefix": f"replay{next(_prefixes)}.shop"})


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from olist.cli.main import main; main()", "replay", *arguments]


def replay(settings: Settings, data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("--data", str(data), *arguments),
        env=settings.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def started(settings: Settings, data: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("--data", str(data), *arguments),
        env=settings.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def stored_count(settings: Settings) -> int:
    states = topic_states(admin_client(settings), topic_names(settings))
    return sum(end for state in states.values() for end in state.end.values())


def topic_names(settings: Settings) -> list[str]:
    return [contract.topic(settings.topic_prefix) for contract in TABLES.values()]


def stored(settings: Settings) -> Topics:
    """Every record of every topic, by table and partition, in order of offset."""
    states = topic_states(admin_client(settings), topic_names(settings))
    left = {(s.topic, p): end for s in states.values() for p, end in s.end.items() if end}
    consumer = Consumer(
        {
            **client_options(settings),
            "group.id": "reads-it-all",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in left])
    found: Topics = {}
    deadline = time.monotonic() + DEADLINE_S
    while left:
        assert time.monotonic() < deadline, f"unread: {left}"
        for message in consumer.consume(10_000, 0.5):
            assert message.error() is None
            topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            table = topic.rpartition(".")[2]
            key, value = message.key(), message.value()
            assert isinstance(key, bytes)
            assert isinstance(value, bytes)
            found.setdefault((table, partition), []).append(Stored(key, value))
            if offset + 1 == left[topic, partition]:
                del left[topic, partition]
    consumer.close()
    return found


def expected(dataset: Dataset, settings: Settings) -> Topics:
    changes = placed(dataset.frames, sequence(dataset.frames), settings.partitions)
    found: Topics = {}
    for record in encode(dataset.frames, changes, origin_of(dataset, settings)).iter_rows(named=True):
        where = (TABLE_NAMES[record[TABLE]], record[PARTITION])
        found.setdefault(where, []).append(Stored(record[KEY], record[VALUE]))
    return found


def change_count(dataset: Dataset) -> int:
    return sequence(dataset.frames).height


def test_every_change_is_on_its_topic_once_and_in_order(settings: Settings, data: Path, dataset: Dataset) -> None:
    summary = told(replay(settings, data, "-o", "json"))
    assert summary["sent"] == change_count(dataset)
    assert stored(settings) == expected(dataset, settings)


def test_the_last_row_of_each_key_is_its_csv_row(settings: Settings, data: Path, dataset: Dataset) -> None:
    told(replay(settings, data, "-o", "json"))
    latest: dict[str, dict[tuple[object, ...], object]] = {table: {} for table in TABLES}
    for (table, partition), records in stored(settings).items():
        for offset, record in enumerate(records):
            change = codec(TABLES[table]).decode(record.key, record.value, Position(table, partition, offset))
            latest[table][change.key] = change.row
    for table, contract in TABLES.items():
        rows = {codec(contract).key_of(row): row for row in iter_rows(contract, dataset.frames[table])}
        assert latest[table] == rows


def test_a_complete_replay_has_nothing_to_do(settings: Settings, data: Path, dataset: Dataset) -> None:
    told(replay(settings, data, "-o", "json"))
    again = replay(settings, data)
    assert again.returncode == 0
    assert again.stdout.startswith(f"nothing to do: all {change_count(dataset):,} changes")
    assert stored_count(settings) == change_count(dataset)


def test_kill_9_at_random_moments_loses_and_doubles_nothing(settings: Settings, data: Path, dataset: Dataset) -> None:
    total = change_count(dataset)
    moments = sorted(random.Random(11).sample(range(total // 20, total * 9 // 10), 5))
    ensure_topics(settings, TABLES.values())
    for moment in moments:
        with started(settings, data, "--rate", "2000") as process:
            wait_until(lambda moment=moment: stored_count(settings) >= moment, "the next kill")  # type: ignore[misc]
            process.kill()
        assert process.returncode == -signal.SIGKILL
        assert stored_count(settings) < total
    last = told(replay(settings, data, "-o", "json"))
    assert 0 < int(str(last["sent"])) < total
    assert stored(settings) == expected(dataset, settings)


def test_a_stop_is_orderly_and_says_how_to_go_on(settings: Settings, data: Path, dataset: Dataset) -> None:
    ensure_topics(settings, TABLES.values())
    with started(settings, data, "--rate", "4000") as process:
        wait_until(lambda: stored_count(settings) >= 500, "the stream to flow")
        process.send_signal(signal.SIGTERM)
        said, _errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on where this one stopped" in said
    told(replay(settings, data, "-o", "json"))
    assert stored(settings) == expected(dataset, settings)


def test_a_limit_ends_a_run_and_the_next_goes_on(settings: Settings, data: Path, dataset: Dataset) -> None:
    assert told(replay(settings, data, "--limit", "1000", "-o", "json"))["sent"] == 1000
    assert stored_count(settings) == 1000
    told(replay(settings, data, "--tables", ORDERS.table, "-o", "json"))
    told(replay(settings, data, "-o", "json"))
    assert stored(settings) == expected(dataset, settings)


def test_a_broker_killed_under_a_replay_costs_time_and_nothing_else(
    stack: Stack, settings: Settings, data: Path, dataset: Dataset
) -> None:
    ensure_topics(settings, TABLES.values())
    with started(settings, data, "--rate", "8000") as process:
        wait_until(lambda: stored_count(settings) >= 3000, "the stream to flow")
        stack.kill("kafka")
        stack.start("kafka")
        _said, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert stored(settings) == expected(dataset, settings)


def test_another_data_set_is_refused_until_asked_to_start_anew(
    settings: Settings, data: Path, dataset: Dataset, tmp_path: Path
) -> None:
    generate(tmp_path / "other", 50, 2, lambda _done: None)
    told(replay(settings, tmp_path / "other", "-o", "json"))
    refused = replay(settings, data)
    assert refused.returncode == 1
    assert "holds another data set" in refused.stderr
    assert "--from-start" in refused.stderr
    told(replay(settings, data, "--from-start", "--yes", "-o", "json"))
    assert stored(settings) == expected(dataset, settings)


def foreign_record(settings: Settings) -> None:
    """What something else than a replay would leave on a topic."""
    producer = Producer({**client_options(settings)})
    producer.produce(CUSTOMERS.topic(settings.topic_prefix), value=b"?", key=b"?", partition=0)
    assert producer.flush(DEADLINE_S) == 0


def test_a_topic_that_something_else_writes_to_is_refused(settings: Settings, data: Path) -> None:
    ensure_topics(settings, TABLES.values())
    foreign_record(settings)
    refused = replay(settings, data)
    assert refused.returncode == 1
    assert "not written by a replay but by something else" in refused.stderr


def test_a_second_writer_during_a_replay_is_found(settings: Settings, dataset: Dataset) -> None:
    plan = make_plan(dataset, settings, tuple(TABLES.values()), None)
    run = Run(plan, Sender(settings, linger_ms=5), Pace(), Progress(plan.changes.height))
    run.go()
    check_ends(settings, plan.ends_after(run.sent))
    foreign_record(settings)
    with pytest.raises(Stopped, match=r"partition 0 ends at \d+, not at"):
        check_ends(settings, plan.ends_after(run.sent))


def test_another_partition_count_is_refused(settings: Settings, data: Path) -> None:
    told(replay(settings, data, "--limit", "10", "-o", "json"))
    other = settings.model_copy(update={"partitions": settings.partitions + 1})
    refused = replay(other, data)
    assert refused.returncode == 1
    assert f"OLIST_PARTITIONS={settings.partitions}" in refused.stderr


def delivered_partitions(settings: Settings, topic: str, keys: list[str]) -> list[int | None]:
    """Where librdkafka itself puts keys."""
    landed: dict[object, int | None] = {}
    producer = Producer({**client_options(settings), "partitioner": "murmur2_random"})
    for key in keys:
        producer.produce(topic, key=key, on_delivery=lambda _e, m: landed.update({m.key(): m.partition()}))
    assert producer.flush(DEADLINE_S) == 0
    return [landed[key.encode()] for key in keys]


def test_partitions_are_those_that_librdkafka_gives(settings: Settings, dataset: Dataset) -> None:
    ensure_topics(settings, [ORDERS])
    keys = keys_of(ORDERS, dataset.frames[ORDERS.table])
    changes = placed(dataset.frames, sequence(dataset.frames), settings.partitions)
    created = changes.filter(pl.col(TABLE) == TABLE_NAMES.index(ORDERS.table)).unique("row").sort("row")
    topic = ORDERS.topic(settings.topic_prefix)
    assert created[PARTITION].to_list() == delivered_partitions(settings, topic, keys.to_list())


@pytest.mark.skipif(not REAL_DATA.exists(), reason=f"the real data set is not at {REAL_DATA}")
def test_the_real_data_set_is_replayed_whole(settings: Settings) -> None:
    real = load(REAL_DATA)
    summary = told(replay(settings, REAL_DATA, "-o", "json"))
    assert summary["sent"] == change_count(real)
    assert stored(settings) == expected(real, settings)
