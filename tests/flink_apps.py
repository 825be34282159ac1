"""Flink apps run on the test cluster, and what their topics hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import polars as pl
from confluent_kafka import Consumer, TopicPartition

from olist.changes import Position, codec
from olist.clients.kafka import client_options
from olist.contracts import Contract
from olist.settings import Settings
from olist.stack.servers.flink_config import Folders
from olist.topics.admin import admin_client, ensure_topics, topic_states
from olist.topics.reader import Consumed
from stream_apps.app import FlinkApp
from stream_apps.flink.job import compile_plan, encode, job_of
from stream_apps.flink.rest import Flink
from stream_apps.flink.submit import submit, wait_healthy
from stream_apps.savepoints import completed_at
from tests.shops import records
from tests.waiting import wait_until

WITHIN_S = 180.0
Key = tuple[Any, ...]
Rows = dict[Key, dict[str, Any]]


@dataclass
class RunningApps:
    """Jobs of some apps over one prefix's topics, all cancelled by `end`.

    Compiled plans are kept in `plans`; they name tables and no topics, so they serve any prefix.
    """

    settings: Settings
    folder: Path
    plans: Path
    apps: tuple[FlinkApp, ...]
    jobs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flink = Flink(self.settings.flink_url)
        ensure_topics(self.settings, {c.table: c for app in self.apps for c in (*app.reads, app.writes)}.values())
        for app in self.apps:
            self._job(app).write_bytes(encode(job_of(self.settings, app)))
        missing = [app for app in self.apps if not self._plan(app).exists()]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda app: compile_plan(self.settings, self._job(app), self._plan(app)), missing))

    def start(self, parallelism: Mapping[str, int] | None = None, resume: Mapping[str, str] | None = None) -> None:
        """Submit all and wait until they are healthy; parallelism and savepoints by app."""
        for app in self.apps:
            how_many, savepoint = (parallelism or {}).get(app.name, 1), (resume or {}).get(app.name, "")
            files = self._job(app), self._plan(app)
            self.jobs[app.name] = submit(self.settings, self.flink, *files, resume=savepoint, parallelism=how_many)
        for job in self.jobs.values():
            wait_healthy(self.flink, job, WITHIN_S)

    def stop(self) -> dict[str, str]:
        """End all with savepoints, whose paths are returned by app."""
        return {name: self.flink.stop(job, WITHIN_S) for name, job in self.jobs.items()}

    def end(self) -> None:
        """Cancel what runs."""
        for job in self.jobs.values():
            self.flink.cancel(job, WITHIN_S)

    def newest_checkpoints(self) -> dict[str, str]:
        """By app, as they lie on disk: a JobManager that was killed knows of none."""
        return {name: max(self._checkpoints(job), key=completed_at) for name, job in self.jobs.items()}

    def caught_up(self) -> None:
        """Wait until each has taken all that is on its topics."""
        for app in self.apps:
            wait_until(lambda app=app: not lag(self.settings, app), f"{app.name} to catch up", WITHIN_S)  # type: ignore[misc]

    def _checkpoints(self, job: str) -> list[str]:
        state = self.settings.home.resolve() / "flink"
        return [path.as_uri() for path in Folders(state=state, scratch=state).checkpoints.glob(f"{job}/chk-*")]

    def _job(self, app: FlinkApp) -> Path:
        return self.folder / f"{app.name}.job.json"

    def _plan(self, app: FlinkApp) -> Path:
        return self.plans / f"{app.name}.plan.json"


def lag(settings: Settings, app: FlinkApp) -> int:
    """Records that are on an app's inputs and not behind its last checkpoint."""
    topics = [contract.topic(settings.topic_prefix) for contract in app.reads]
    states = topic_states(admin_client(settings), topics)
    ends = {(state.topic, partition): end for state in states.values() for partition, end in state.end.items()}
    group = job_of(settings, app).name
    consumer = Consumer({**client_options(settings), "group.id": group})
    committed = consumer.committed([TopicPartition(*where) for where in ends], timeout=30)
    consumer.close()
    return sum(ends[str(at.topic), int(at.partition)] - max(int(at.offset), 0) for at in committed)


def topic_rows(contract: Contract, found: Iterable[Consumed]) -> Rows:
    """The latest row per key of a topic's records, money as Decimal; without the deleted."""
    rows: Rows = {}
    for record in found:
        position = Position("", int(record.partition() or 0), int(record.offset() or 0))
        change = codec(contract).decode(record.key(), record.value(), position)
        if change.row is None:
            rows.pop(change.key, None)
        else:
            rows[change.key] = cast(dict[str, Any], msgspec.to_builtins(change.row, builtin_types=(Decimal,)))
    return rows


def expected_rows(contract: Contract, frame: pl.DataFrame) -> Rows:
    """An oracle's rows by key, in the contract's columns."""
    names = [column.name for column in contract.columns]
    return {tuple(row[name] for name in contract.key): row for row in frame.select(names).to_dicts()}


def expect(settings: Settings, contract: Contract, frame: pl.DataFrame) -> None:
    """Wait until a topic's latest rows are the oracle's; what differs is told."""
    expected = expected_rows(contract, frame)
    found: list[Rows] = [{}]

    def equal() -> bool:
        found[0] = topic_rows(contract, records(settings, contract))
        return found[0] == expected

    try:
        wait_until(equal, f"{contract.table} to be as the oracle says", within_s=90)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{difference(found[0], expected)}") from None


def difference(found: Rows, expected: Rows) -> str:
    """The first rows that differ, and how many do."""
    keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
    told = [f"{key}:\n  found    {found.get(key)}\n  expected {expected.get(key)}" for key in keys[:3]]
    return f"{len(keys)} rows differ\n" + "\n".join(told)
