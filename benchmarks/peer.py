"""The Iceberg sink of Kafka Connect on the topic that our sink reads: CPU of its worker until all is committed.

It appends what it reads. With the whole envelope a row is the envelope; with `after` alone a row is the after-image,
and deletes are left out. Neither looks for the row that a change replaces, which is the larger part of our sink's work.
"""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from benchmarks.connect_worker import Worker, running
from benchmarks.sinks import Cost
from benchmarks.topic import Written
from olist.errors import StackError
from olist.settings import Settings
from olist.topics.admin import ensure_topic

CATALOG = "peer"  # a database of its own: the catalog looks for its tables in every schema of one
CONTROL_TOPIC = "control-iceberg"
COMMIT_EVERY_S = 10
IDLE_S = 5.0
WITHIN_S = 120.0
LOOK_EVERY_S = 0.25
LOOKS_PER_HEALTH = 40

POINTER = b"SELECT metadata_location FROM iceberg_tables WHERE table_name = %s"

# What it writes -> how its connector is told to.
FORMS = {
    "envelope": dict[str, str](),
    "after": {
        "transforms": "row",
        "transforms.row.type": "org.apache.kafka.connect.transforms.ExtractField$Value",
        "transforms.row.field": "after",
    },
}
NOTE = "append only, files on a local disk"
RUNS = 2  # of each form; the better one counts, since the first also warms the virtual machine up


def peer_costs(settings: Settings, topic: str, written: Written) -> list[Cost]:
    """One cost per form."""
    deletes = written.records - written.changes  # of each there is an envelope and a tombstone
    rows = {"envelope": written.changes, "after": written.changes - deletes}
    ensure_topic(settings, CONTROL_TOPIC, {})
    with psycopg.connect(settings.postgres_url, autocommit=True) as database:
        database.execute(f"CREATE DATABASE {CATALOG}".encode())
    with psycopg.connect(_catalog_url(settings), autocommit=True) as database, running(settings) as worker:
        idle = _idle_share(worker)
        return [
            min(
                (
                    _measured(_Run(settings, worker, database, topic, form, run), written, rows[form], idle)
                    for run in range(RUNS)
                ),
                key=lambda cost: cost.cpu_s,
            )
            for form in FORMS
        ]


class _Run:
    """One connector, with a table of its own."""

    def __init__(
        self, settings: Settings, worker: Worker, database: psycopg.Connection, topic: str, form: str, run: int
    ) -> None:
        self.settings, self.worker, self.database = settings, worker, database
        self.topic, self.form = topic, form
        self.name = f"{form}_{run}"

    def config(self) -> dict[str, str]:
        """The connector's configuration."""
        url = urlsplit(_catalog_url(self.settings))
        jdbc = f"jdbc:postgresql://{url.hostname}:{url.port}{url.path}?user={url.username}"
        return {
            "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
            "tasks.max": "1",
            "topics": self.topic,
            "iceberg.tables": f"peer.{self.name}",
            "iceberg.tables.auto-create-enabled": "true",
            "iceberg.tables.evolve-schema-enabled": "true",
            "iceberg.control.topic": CONTROL_TOPIC,
            "iceberg.control.commit.interval-ms": str(COMMIT_EVERY_S * 1000),
            "iceberg.catalog.type": "jdbc",
            "iceberg.catalog.uri": jdbc,
            "iceberg.catalog.jdbc.schema-version": "V1",
            "iceberg.catalog.warehouse": (self.settings.home.resolve() / "peer").as_uri(),
            "iceberg.catalog.io-impl": "org.apache.iceberg.hadoop.HadoopFileIO",
            "consumer.override.isolation.level": "read_committed",
            **FORMS[self.form],
        }

    def rows(self) -> int:
        """Rows that the table's head holds."""
        exists = self.database.execute(b"SELECT to_regclass('iceberg_tables') IS NOT NULL").fetchone()
        found = self.database.execute(POINTER, (self.name,)).fetchone() if exists == (True,) else None
        return total_records(Path(urlsplit(found[0]).path).read_text("utf-8")) if found else 0


def _catalog_url(settings: Settings) -> str:
    return urlsplit(settings.postgres_url)._replace(path=f"/{CATALOG}").geturl()


def _measured(run: _Run, written: Written, rows: int, idle: float) -> Cost:
    cpu, wall, looks = run.worker.cpu_s, time.monotonic(), count(1)
    run.worker.create(run.name, run.config())
    while (there := run.rows()) < rows:
        if time.monotonic() - wall > WITHIN_S:
            raise StackError(f"the connector {run.name} committed {there} of {rows} rows in {WITHIN_S:g} s")
        time.sleep(LOOK_EVERY_S)
        if next(looks) % LOOKS_PER_HEALTH == 0:  # each look costs the worker some CPU
            run.worker.require_healthy(run.name)
    lasted = time.monotonic() - wall
    used = run.worker.cpu_s - cpu - idle * lasted
    run.worker.delete(run.name)
    return Cost(f"Iceberg sink of Kafka Connect 1.12.0, {run.form}", written.changes, used, lasted, note=NOTE)


def _idle_share(worker: Worker) -> float:
    """CPU seconds per second that the worker takes without a connector."""
    before = worker.cpu_s
    time.sleep(IDLE_S)
    return (worker.cpu_s - before) / IDLE_S


def total_records(metadata: str) -> int:
    """The rows of a table's head, by its metadata file; an append-only table's summary counts them."""
    table = json.loads(metadata)
    heads = [s for s in table.get("snapshots", ()) if s["snapshot-id"] == table.get("current-snapshot-id")]
    return int(heads[0]["summary"].get("total-records", 0)) if heads else 0
