"""One app at work: what a record of its inputs costs, and how old a change is when the rows it leads to can be read."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import msgspec
import numpy as np
import psutil
from confluent_kafka import Consumer, TopicPartition

from benchmarks.app_inputs import ShopWriter
from olist.changes import decode_envelope
from olist.clients.kafka import client_options
from olist.contracts import Contract
from olist.errors import StackError
from olist.settings import Settings
from olist.stack.local import Stack
from olist.topics.admin import admin_client, topic_state, topic_states
from olist.topics.reader import read
from stream_apps.app import App, FlinkApp
from stream_apps.deploy.deployed_app import DeployedApp
from stream_apps.deploy.readiness import until_idle
from stream_apps.deploy.status import AppStatus, status_of
from stream_apps.deploy.store import Deployment
from stream_apps.deploy.topic_swap import latest
from stream_apps.faust.names import names

FLINK_SERVERS = ("jobmanager", "taskmanager")
HEALTHY_WITHIN_S, IDLE_WITHIN_S = 300.0, 900.0
IDLE_S = 10.0  # so long the CPU of an app without input is watched
WARM_UP_S = 5.0  # of the paced records: not counted
SILENT_S = 6.0  # no output for so long means that all is there; a checkpoint is made every 2 s


class Cost(msgspec.Struct):
    """CPU of an app's processes from the first record of the data set until none was left to read."""

    records: int
    rows: int
    wall_s: float
    cpu_s: float  # less what the same processes take without input
    idle_cores: float
    state_bytes: int | None
    memory_bytes: int

    @property
    def micros(self) -> float:
        """Microseconds of CPU per input record."""
        return self.cpu_s / self.records * 1e6


class Latency(msgspec.Struct):
    """Milliseconds from a record's production to the arrival of a row that has its commit time."""

    sent: int
    rows: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    cores: float


@dataclass
class Running:
    """A deployed app and its processes: a Faust app's worker, or Flink's two, which then run nothing else."""

    settings: Settings
    app: App
    processes: Sequence[psutil.Process]

    def cost(self, data: Path) -> Cost:
        """Write the data set onto the topics as fast as it goes; return when it was read."""
        idle_s, idle_cores = self.cpu_s(), 0.0
        time.sleep(IDLE_S)
        idle_cores = (self.cpu_s() - idle_s) / IDLE_S
        began_s, began = self.cpu_s(), time.monotonic()
        olist(self.settings, "replay", "--data", str(data))
        for _left in until_idle(lambda: [self.status()], IDLE_WITHIN_S):
            pass
        wall_s = time.monotonic() - began
        cpu_s = self.cpu_s() - began_s - idle_cores * wall_s
        memory = sum(process.memory_info().rss for process in self.processes)
        rows = sum(self._written(contract) for contract in self.app.outputs)
        return Cost(self._records(), rows, wall_s, cpu_s, idle_cores, self._state_bytes(), memory)

    def latency(self, writer: ShopWriter, rate: int, seconds: float) -> Latency:
        """Write so many records a second, and read the rows as they come."""
        writer.pace(rate, WARM_UP_S)
        warm, began_s, began = len(writer.sent_us), self.cpu_s(), time.monotonic()
        counted_from = max(writer.sent_us)
        with _arrivals(self.settings, self.app.outputs) as arrivals:
            writing = Thread(target=writer.pace, args=(rate, seconds))
            writing.start()
            found = list(arrivals(lambda: not writing.is_alive()))
            writing.join()
        ages = ages_ms(found, {us: sent for us, sent in writer.sent_us.items() if us > counted_from})
        if not ages:
            raise StackError(f"{self.app.name} wrote no row for {len(writer.sent_us) - warm} records")
        p50, p99, worst = map(float, np.percentile(ages, (50, 99, 100)))
        cores = (self.cpu_s() - began_s) / (time.monotonic() - began)
        return Latency(len(writer.sent_us) - warm, len(ages), p50, p99, worst, cores)

    def cpu_s(self) -> float:
        """CPU seconds of the processes since they began."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def status(self) -> AppStatus:
        """As `olist apps status` has it."""
        deployment = Deployment.of(self.settings, self.app.name)
        record = deployment.deployed_record()
        return status_of(DeployedApp.of(self.settings, deployment, record.engine), record)

    def _records(self) -> int:
        """On the topics that the app reads: they hold no transactions, so offsets count them."""
        reads = self.app.reads if isinstance(self.app, FlinkApp) else [given.contract for given in self.app.reads]
        topics = {self._topic(contract) for contract in reads}
        states = topic_states(admin_client(self.settings), topics)
        return sum(sum(state.end.values()) - sum(state.first.values()) for state in states.values())

    def _written(self, contract: Contract) -> int:
        """Records of an output, as a reader sees them."""
        state = topic_state(admin_client(self.settings), self._topic(contract))
        return sum(map(len, read(self.settings, state.topic, state.first, state.end)))

    def _state_bytes(self) -> int | None:
        """Of the newest checkpoint, or of the newest record of every key of a Faust app's state topic."""
        if isinstance(self.app, FlinkApp):
            return self.status().checkpoint_bytes
        states = latest(self.settings, names(self.settings, self.app).state)
        return sum(len(key) + len(value) for key, value in states.items() if value is not None)

    def _topic(self, contract: Contract) -> str:
        return contract.topic(self.settings.topic_prefix)


def ages_ms(found: Iterable[tuple[int, int]], sent_us: Mapping[int, int]) -> list[float]:
    """How old the change behind each row was on the row's arrival; `found` as (commit time, arrival), all in us.

    Rows of other changes are left out. A change that a newer one of the same row overtook has no row of its own.
    """
    return [(at_us - sent_us[us]) / 1000 for us, at_us in found if us in sent_us]


@contextmanager
def running(settings: Settings, app: App, stack: Stack) -> Iterator[Running]:
    """Deploy an app, on topics that nothing was written to, and delete it afterwards."""
    olist(settings, "apps", "deploy", app.name, "--within", str(HEALTHY_WITHIN_S))
    try:
        yield Running(settings, app, [psutil.Process(pid) for pid in _pids(settings, app, stack)])
    finally:
        olist(settings, "apps", "delete", app.name, "--yes")


def _pids(settings: Settings, app: App, stack: Stack) -> list[int]:
    if isinstance(app, FlinkApp):
        return [pid for name in FLINK_SERVERS if (pid := stack.states()[name].pid) is not None]
    deployment = Deployment.of(settings, app.name)
    return [worker.pid for worker in deployment.state_of(deployment.deployed_record().current).workers]


def olist(settings: Settings, *arguments: str) -> None:
    """Run a command; what it says goes to stderr."""
    command = [sys.executable, "-m", "olist", *arguments]
    done = subprocess.run(command, env=settings.environment(), stdout=sys.stderr, check=False)
    if done.returncode:
        raise StackError(f"`olist {' '.join(arguments)}` ended with code {done.returncode}")


Arrivals = Callable[[Callable[[], bool]], Iterator[tuple[int, int]]]
"""Given the question whether all was written, (commit time, arrival) of every row, until nothing comes any more."""


@contextmanager
def _arrivals(settings: Settings, outputs: Sequence[Contract]) -> Iterator[Arrivals]:
    """Read topics from their ends, as a `read_committed` reader who does not wait for more."""
    admin = admin_client(settings)
    states = topic_states(admin, [contract.topic(settings.topic_prefix) for contract in outputs])
    consumer = Consumer(
        {
            **client_options(settings),
            "group.id": "benchmark",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 5,
        }
    )
    consumer.assign([TopicPartition(s.topic, p, end) for s in states.values() for p, end in s.end.items()])

    def arrivals(written: Callable[[], bool]) -> Iterator[tuple[int, int]]:
        heard = time.monotonic()
        while not (written() and time.monotonic() - heard > SILENT_S):
            for message in consumer.consume(1000, 0.002):
                value = message.value()
                if message.error() is None:
                    heard = time.monotonic()
                if message.error() is None and isinstance(value, bytes):
                    yield decode_envelope(value).source.ts_us, time.time_ns() // 1000

    try:
        yield arrivals
    finally:
        consumer.close()
