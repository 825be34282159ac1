"""A target's consumer group: which processes are in it, and what they say of their tables.

A sink keeps its positions in the target, so what Kafka's committed offsets are for is not needed. Their metadata is
used for what a target cannot tell: a table that waits or has stopped, and why. A note is written when that changes, by
the partition's owner alone; the offset beside it says where the table stood then, and nothing reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from olist.errors import ServerTrouble
from olist.settings import Settings

TIMEOUT_S = 15.0
LONGEST_REASON = 800  # characters; the broker takes 4,096 bytes of metadata


class Note(msgspec.Struct, frozen=True):
    """The state of one table in one sink process, and the error that made it."""

    state: str
    reason: str = ""

    def encode(self) -> str:
        """As the metadata of a commit; nothing of a table that runs."""
        short = Note(self.state, self.reason[:LONGEST_REASON])
        return msgspec.json.encode(short).decode() if self.reason else ""


def group_of(settings: Settings, target: str) -> str:
    """The consumer group of a target's sink processes."""
    return f"{settings.topic_prefix}.sink.{target}"


def members(admin: AdminClient, group: str) -> list[str]:
    """The processes of a group by name and host; one that was killed stays until its session has timed out.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    try:
        found = admin.describe_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
    except KafkaException as error:
        raise ServerTrouble("kafka", f"group {group}: {error.args[0].str()}") from error
    return [f"{member.group_instance_id or member.client_id} at {member.host}" for member in found.members]


def notes(admin: AdminClient, group: str) -> Mapping[str, Note]:
    """Topic -> what its table's owner says is wrong; nothing of tables that run.

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)], request_timeout=TIMEOUT_S)
    try:
        found = asked[group].result()
    except KafkaException as error:
        raise ServerTrouble("kafka", f"group {group}: {error.args[0].str()}") from error
    partitions: Sequence[TopicPartition] = found.topic_partitions or []
    return {p.topic: note for p in partitions if (note := _note(p.metadata)) is not None}


def _note(metadata: str | None) -> Note | None:
    try:
        return msgspec.json.decode(metadata, type=Note) if metadata else None
    except msgspec.MsgspecError:  # another's
        return None
