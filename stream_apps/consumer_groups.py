"""Consumer groups: how far one has read, and the deletion of one that nobody uses any more."""

from __future__ import annotations

import time
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from olist.clients.kafka import client_options, words_of
from olist.errors import ServerTrouble
from olist.positions import TopicState
from olist.settings import Settings
from olist.topics.admin import TIMEOUT_S, admin_client
from olist.topics.reader import Where

SETTLING = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
)
SETTLING_PAUSE_S = 0.1
GONE = (KafkaError.GROUP_ID_NOT_FOUND,)
PASSING = (KafkaError.NON_EMPTY_GROUP, *SETTLING)
LEAVING_S = 75.0
"""A member that was killed, or has a name of its own, is counted until its session ends; one that was joining then, for
as long as the others have to join: Faust's minute."""
PAUSE_S = 0.5


def committed(settings: Settings, group: str, states: Iterable[TopicState]) -> dict[Where, int]:
    """The offsets that a group has committed for some topics; nothing for one that nobody knows.

    Asked by a consumer of that group which joins nothing: the admin client's own call has no coordinator to ask for
    when the broker answers that it is another or is loading, and dies in librdkafka's thread (its `rd_kafka_cgrp_op`).

    Raises:
        ServerTrouble: Kafka does not answer.
    """
    asked = [TopicPartition(state.topic, p) for state in states for p in state.end]
    consumer = Consumer({**client_options(settings), "group.id": group, "log_level": 0})
    try:
        found = _settled(consumer, asked, group)
    finally:
        consumer.close()
    if failed := next((p for p in found if p.error), None):
        raise ServerTrouble("kafka", f"group {group}, {failed.topic}: {failed.error}", hint="`olist status`")
    return {(str(p.topic), int(p.partition)): int(p.offset) for p in found if p.offset >= 0}


def _settled(consumer: Consumer, asked: list[TopicPartition], group: str) -> list[TopicPartition]:
    """The broker's answer, once a coordinator has taken the group: the first group of a broker waits for its topic."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return consumer.committed(asked, timeout=TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in SETTLING or time.monotonic() > deadline:
                raise ServerTrouble("kafka", f"group {group}: {error}", hint="`olist status`") from error
            time.sleep(SETTLING_PAUSE_S)


def delete_group(settings: Settings, group: str) -> None:
    """Delete a group and its offsets; one that is not there is gone already.

    Raises:
        ServerTrouble: Kafka does not answer, or the group still has members.
    """
    admin = admin_client(settings)
    deadline = time.monotonic() + settings.session_timeout_ms / 1000 + LEAVING_S
    while True:
        try:
            admin.delete_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result()
        except KafkaException as error:
            code = error.args[0].code()
            if code in GONE:
                return
            if code not in PASSING or time.monotonic() > deadline:
                raise ServerTrouble("kafka", f"group {group} was not deleted: {words_of(error)}") from error
            time.sleep(PAUSE_S)
        else:
            return
