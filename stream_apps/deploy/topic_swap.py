"""Put a rebuilt version's rows in the place of the old one's, while neither runs.

The new version has written all its rows to topics of its own. Here each real topic is made equal to it: a key whose
row differs is written anew, a key that the new version does not have gets a tombstone. So a reader never sees the rows
go back to their beginnings while the state is rebuilt, and nothing of the old version stays behind. It may be repeated.

What is replaced is kept in a file of the old version's folder, for the way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from olist.atomic import write_atomically
from olist.clients.kafka import client_options
from olist.contracts import Contract
from olist.errors import ServerTrouble
from olist.settings import Settings
from olist.topics.admin import admin_client, topic_state
from olist.topics.reader import read
from stream_apps.app_topics import staged_topic
from stream_apps.engine import Version

Rows = Mapping[bytes, bytes | None]
"""Key -> the newest value on the topic; None is a tombstone."""

Edits = list[tuple[bytes, bytes | None]]
"""Keys with the values to write."""

FLUSH_WITHIN_S = 60.0


class Replaced(msgspec.Struct, frozen=True):
    """Rows of one topic as they were: key, value, and None for a key that was not there."""

    topic: str
    rows: list[tuple[bytes, bytes | None]]


def kept_rows(version: Version) -> Path:
    """Where the rows of a version are kept while another's are in their place.

    The current version has this file only while an exchange is under way: whoever finds it there, and nobody at work,
    puts the rows back.
    """
    return version.folder / "replaced.msgpack"


def latest(settings: Settings, topic: str) -> dict[bytes, bytes | None]:
    """The newest value of every key of a topic, read to the end as a `read_committed` reader sees it."""
    state = topic_state(admin_client(settings), topic)
    found: dict[bytes, bytes | None] = {}
    for records in read(settings, topic, state.first, state.end):
        for record in records:
            if (key := record.key()) is not None:
                found[key] = record.value()
    return found


def edits(there: Rows, wanted: Rows) -> Iterator[tuple[bytes, bytes | None]]:
    """What must be written so that `there` holds the rows of `wanted` and no others."""
    for key, value in wanted.items():
        if row(there.get(key)) != row(value):
            yield key, value
    for key, value in there.items():
        if key not in wanted and row(value) is not None:
            yield key, None


class _After(msgspec.Struct):
    """Of an envelope only the row: what else is in it (times, a writer's name) differs between any two writers."""

    after: msgspec.Raw = msgspec.Raw(b"null")


_DECODER = msgspec.json.Decoder(_After)


def row(value: bytes | None) -> bytes | None:
    """The row of a record's value; None where there is none, be it a delete or its tombstone."""
    after = b"null" if value is None else bytes(_DECODER.decode(value).after)
    return None if after == b"null" else after


def exchange(settings: Settings, outputs: Iterable[Contract], generation: str, keep: Path) -> int:
    """Make each output's topic equal to what a generation has staged; returns how many keys that concerned.

    What was there is kept in the file `keep` before anything is written.

    Raises:
        ServerTrouble: Kafka does not take the rows; some may be there already, and the exchange can be repeated.
    """
    changed: dict[str, Edits] = {}
    replaced: list[Replaced] = []
    for contract in outputs:
        topic = contract.topic(settings.topic_prefix)
        there = latest(settings, topic)
        changed[topic] = list(edits(there, latest(settings, staged_topic(topic, generation))))
        replaced.append(Replaced(topic, [(key, there.get(key)) for key, _ in changed[topic]]))
    write_kept(keep, replaced)
    for topic, rows in changed.items():
        put(settings, topic, rows)
    return sum(map(len, changed.values()))


def put_back(settings: Settings, used: Path, keep: Path | None = None) -> int:
    """Write the rows that the file `used` keeps, and keep in `keep` what they replace. Without the file: nothing."""
    kept = read_kept(used)
    if keep is not None:
        there = {one.topic: latest(settings, one.topic) for one in kept}
        write_kept(keep, [Replaced(one.topic, [(k, there[one.topic].get(k)) for k, _ in one.rows]) for one in kept])
    for one in kept:
        put(settings, one.topic, one.rows)
    return sum(len(one.rows) for one in kept)


def put(settings: Settings, topic: str, rows: Edits) -> None:
    """Write records and wait until Kafka has them all.

    Raises:
        ServerTrouble: it has not.
    """
    failures: list[str] = []
    producer = Producer(
        {
            **client_options(settings),
            "partitioner": "murmur2_random",  # where the apps themselves put these keys
            "enable.idempotence": True,
            "linger.ms": 20,
            "queue.buffering.max.messages": len(rows) + 1,
            "log_level": 0,
        }
    )
    for key, value in rows:
        producer.produce(topic, key=key, value=value, on_delivery=lambda e, _: failures.append(str(e)) if e else None)
        producer.poll(0)
    if producer.flush(FLUSH_WITHIN_S) or failures:
        raise ServerTrouble("kafka", f"{topic}: rows were not taken: {failures[:1] or 'no answer'}")


def write_kept(path: Path, replaced: list[Replaced]) -> None:
    """Write down what is about to be replaced."""
    write_atomically(path, msgspec.msgpack.encode(replaced))


def read_kept(path: Path) -> list[Replaced]:
    """What was written; nothing when there is no file."""
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Replaced]) if path.exists() else []
