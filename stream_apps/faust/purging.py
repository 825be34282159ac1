"""Delete forwarded records that have been taken: their topic keeps records for ever, until they are."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from confluent_kafka import KafkaException, TopicPartition

from olist.settings import Settings
from olist.topics.admin import admin_client

log = structlog.get_logger()
TIMEOUT_S = 10.0


def purge(settings: Settings, topic: str, taken: Mapping[int, int]) -> None:
    """Delete a topic's records below committed offsets, by partition. A broker that does not answer is asked later."""
    if not taken:
        return
    doomed = [TopicPartition(topic, partition, offset) for partition, offset in taken.items()]
    admin = admin_client(settings)  # held until the answers are there: they never come to a client that is gone
    for future in admin.delete_records(doomed, request_timeout=TIMEOUT_S).values():
        try:
            future.result(TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            log.warning("not purged", topic=topic, reason=f"{type(error).__name__} {error}")
