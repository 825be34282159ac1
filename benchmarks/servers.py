"""The benchmark's own servers: the real ones, in a folder that is thrown away, on ports that are free."""

from __future__ import annotations

from pathlib import Path

from olist.settings import Settings
from olist.stack.servers.server import free_ports

TOPIC_PREFIX = "benchmark"


def settings_for(home: Path, given: Settings) -> Settings:
    """The given settings with every server here and nothing where a user's servers listen."""
    first = free_ports(19, after=24_000)[0]
    opensearch = free_ports(1, also_above=100, after=first + 19)[0]
    elsewhere = dict.fromkeys(("kafka", "postgres", "s3", "opensearch", "connect", "flink", "warehouse", "catalog"))
    return given.model_copy(
        update=elsewhere
        | {
            "home": home,
            "kafka_port": first,
            "kafka_controller_port": first + 1,
            "postgres_port": first + 2,
            "s3_port": first + 3,
            "connect_port": first + 11,
            "flink_port": first + 12,
            "flink_inner_port": first + 13,
            "opensearch_port": opensearch,
            "connect_heap_mb": 1024,
            "topic_prefix": TOPIC_PREFIX,
            "metrics_port": None,
            "log_level": "warning",
        }
    )
