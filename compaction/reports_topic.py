"""Reports as events: ``<prefix>.compaction_reports``, keyed by table, JSON."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # a public name, re-exported without `as`

from compaction.report import Report
from olist.kafka_client import client_options
from olist.settings import Settings
from olist.topics.admin import admin_client

log = structlog.get_logger()

TIMEOUT_S = 5.0


def topic_of(settings: Settings) -> str:
    """Where reports go."""
    return f"{settings.topic_prefix}.compaction_reports"


def publish(settings: Settings, reports: Iterable[Report]) -> int:
    """Write reports; return how many Kafka has. Without a Kafka they are logged as unpublished and nothing fails.

    A lake is compacted whether or not anybody hears of it.
    """
    reports = list(reports)
    if not reports:
        return 0
    topic = topic_of(settings)
    try:
        _ensure(settings, topic)
        producer = Producer({**client_options(settings), "log_level": 0})
        for report in reports:
            producer.produce(topic, key=report.table.encode(), value=msgspec.json.encode(report))
        left = producer.flush(TIMEOUT_S)
    except KafkaException as error:
        log.warning("reports not published", topic=topic, reason=str(error))
        return 0
    return len(reports) - left


def _ensure(settings: Settings, topic: str) -> None:
    admin = admin_client(settings)
    if topic in admin.list_topics(timeout=TIMEOUT_S).topics:
        return
    made = admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    try:
        made[topic].result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
