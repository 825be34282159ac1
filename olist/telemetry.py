"""Logs, every metric in one list, and the /metrics endpoint."""

from __future__ import annotations

import logging
import sys

import structlog
from prometheus_client import Counter, Gauge, Histogram, start_http_server

from olist.printable import LINES, colours_refused, printable
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
DOUBLED_KEYS = Counter(
    "olist_lake_doubled_keys", "keys found in two live rows of a lake table, which others wrote", ["table"]
)
RETRIES = Counter("olist_sink_retries", "openings of a table again after trouble", ["sink", "table"])
TABLE_STATE = Gauge("olist_sink_table_state", "1 for the state that a sink's table is in", ["sink", "table", "state"])
COMPACTION_FAILING = Gauge("olist_compaction_failing", "1 while a lake table cannot be compacted", ["table"])
APP_EVENTS = Counter("olist_app_events", "changes that an app has taken", ["app"])
APP_ROWS = Counter("olist_app_rows", "rows that an app has written or deleted", ["app"])
APP_STANDING = Gauge(
    "olist_app_rows_standing", "rows that stand now, of an app that counts them by kind (`count_by`)", ["app", "kind"]
)
APP_CPU = Counter("olist_app_cpu_seconds", "CPU time of an app's worker, all threads", ["app"])
APP_DEAD_LETTERS = Counter("olist_app_dead_letters", "records an app wrote to the dead letters", ["app", "stage"])
APP_LAG = Gauge("olist_app_lag", "records that an app's worker is behind the ends of its partitions", ["app"])
APP_FRESHNESS = Gauge("olist_app_freshness_seconds", "age of the newest change that an app has taken", ["app"])
DEPLOYED_HEALTHY = Gauge("olist_deployed_app_healthy", "1 while a deployed app is healthy", ["app"])
DEPLOYED_LAG = Gauge("olist_deployed_app_lag_records", "records that a deployed app has still to read", ["app"])
DEPLOYED_WAITING = Gauge("olist_deployed_app_waiting_seconds", "for how long the oldest of them has waited", ["app"])
DEPLOYED_RESTARTS = Gauge("olist_deployed_app_restarts", "restarts of a deployed app, its engine's included", ["app"])


def configure_logging(settings: Settings) -> None:
    """Log to stderr: lines for people, or JSON for machines, as the settings say."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and not colours_refused())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _printable,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _printable(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape what is not printable: an event may quote records. A trace keeps its lines."""
    return {
        name: printable(value, LINES if name == "exception" else "") if isinstance(value, str) else value
        for name, value in event.items()
    }


def serve_metrics(settings: Settings) -> None:
    """Serve /metrics on loopback, when a port is set."""
    if settings.metrics_port is not None:
        start_http_server(settings.metrics_port, addr="127.0.0.1")
