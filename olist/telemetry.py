"""Logs, every metric in one list, and the /metrics endpoint."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from olist.settings import Settings

# Every metric of the platform. Names end in their unit, labels are few: a table, never a key.
CHANGES_WRITTEN = Counter("olist_sink_changes", "changes committed to a target", ["sink", "table"])
DEAD_LETTERS = Counter("olist_sink_dead_letters", "records written to the dead letters", ["sink", "table", "stage"])
UNKNOWN_FIELDS = Counter(
    "olist_sink_unknown_fields", "records with a field no contract knows", ["sink", "table", "field"]
)
STAGE_CPU = Counter("olist_sink_stage_cpu_seconds", "CPU time of this process's own thread", ["sink", "table", "stage"])
COMMIT_SECONDS = Histogram("olist_sink_commit_seconds", "wall time of a commit", ["sink", "table"])
BATCH_CHANGES = Histogram(
    "olist_sink_batch_changes", "changes in a batch", ["sink", "table"], buckets=(1, 10, 100, 1_000, 10_000, 100_000)
)
FRESHNESS_SECONDS = Gauge(
    "olist_sink_freshness_seconds", "age of the newest change when it was committed", ["sink", "table"]
)
RETRIES = Counter("olist_sink_retries", "batches written again after server trouble", ["sink", "table"])


def configure_logging(settings: Settings) -> None:
    """Log to stderr: lines for people, or JSON for machines, as the settings say."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def serve_metrics(settings: Settings) -> None:
    """Serve /metrics on loopback, when a port is set."""
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, addr="127.0.0.1")
