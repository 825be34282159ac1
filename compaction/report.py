"""What a table looked like before and after a run: for people a table, for machines a topic.

The topic is ``<prefix>.compaction_reports``, keyed by table, JSON.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # a public name, re-exported without `as`
from rich.table import Table as Shown

from compaction.table_stats import TableStats
from olist.clients.kafka import client_options
from olist.settings import Settings
from olist.topics.admin import admin_client


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run over one table. `conflicts` are lost compare-and-sets; `translated` deletes that arrived meanwhile."""

    table: str
    at_ms: int
    seconds: float
    before: TableStats
    after: TableStats
    commits: int = 0
    lost: int = 0
    conflicts: int = 0
    translated: int = 0
    rewritten_bytes: int = 0
    expired: int = 0
    deleted_files: int = 0


def shown(reports: list[Report]) -> Shown:
    """Reports as a table, each cell before -> after."""
    made = Shown("table", "data files", "delete files", "MB", "delete rows", "snapshots", "scan s", box=None)
    for report in reports:
        was, now = report.before, report.after
        made.add_row(
            report.table,
            _change(was.data_files, now.data_files),
            _change(was.delete_files, now.delete_files),
            _change(f"{was.bytes / 1e6:.1f}", f"{now.bytes / 1e6:.1f}"),
            _change(was.delete_rows, now.delete_rows),
            _change(was.snapshots, now.snapshots),
            "-" if was.scan_s is None or now.scan_s is None else _change(f"{was.scan_s:.2f}", f"{now.scan_s:.2f}"),
        )
    return made


def _change(before: object, after: object) -> str:
    return str(before) if before == after else f"{before} -> {after}"


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
