"""Where PyFlink is, and what the local Flink cluster is told: one `config.yaml` for both of its processes.

PyFlink has a Python environment of its own, since Beam below it wants a pyarrow that pyiceberg cannot use. The wheel
holds all of Flink: its jars are the cluster, its Python runs jobs. Flink's own scripts would compute memory and
addresses; without them every part must be said.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.servers.server import HOST

WAY_OUT = "`make .venv-flink/.ready` installs it, or OLIST_FLINK_ENV names an environment that holds apache-flink"


@dataclass(frozen=True)
class FlinkEnvironment:
    """An environment that holds PyFlink: its `python`, and the folder of the package `pyflink`."""

    python: Path
    package: Path

    @property
    def jars(self) -> list[Path]:
        """The cluster's own classpath."""
        return sorted((self.package / "lib").glob("*.jar"))

    @property
    def python_jar(self) -> Path:
        """The jar with `PythonDriver`, which runs a Python job: what REST wants uploaded before it runs one."""
        return self.package / "opt" / f"flink-python-{self.version}.jar"

    @property
    def version(self) -> str:
        """Flink's release."""
        found = re.search(r'__version__ = "(.+)"', (self.package / "version.py").read_text(encoding="utf-8"))
        assert found is not None
        return found[1]


def flink_environment(settings: Settings) -> FlinkEnvironment:
    """The environment in use: `OLIST_FLINK_ENV`, or `.venv-flink` beside the environment that runs this.

    Raises:
        StackError: it holds no PyFlink.
    """
    root = (settings.flink_env or Path(sys.prefix).with_name(".venv-flink")).absolute()
    packages = sorted(root.glob("lib/python3*/site-packages/pyflink"))
    if not packages or not (packages[0] / "lib").exists():
        raise StackError(f"{root} holds no PyFlink", hint=WAY_OUT)
    return FlinkEnvironment(root / "bin" / "python", packages[0])


FRAMEWORK_HEAP_MB = 128
FRAMEWORK_DIRECT_MB, NETWORK_MB = 128, 96
DIRECT_MB = FRAMEWORK_DIRECT_MB + NETWORK_MB
"""The TaskManager's direct memory."""
METASPACE_MB = 256

Value = str | int | bool


@dataclass(frozen=True)
class Folders:
    """Where a cluster keeps things: checkpoints and savepoints outlive every process, `scratch` none."""

    state: Path
    scratch: Path

    @property
    def checkpoints(self) -> Path:
        """``<job id>/chk-<n>`` of every job."""
        return self.state / "checkpoints"

    @property
    def savepoints(self) -> Path:
        """Where a savepoint goes that names no other place."""
        return self.state / "savepoints"


def configuration(settings: Settings, folders: Folders, python: Path) -> dict[str, Value]:
    """Flink's options by their full names; `python` is the program that runs jobs and their Python functions."""
    return {
        **addresses(settings.flink_port, settings.flink_inner_port),
        **memory(settings),
        **state(folders, settings.flink_checkpoint_ms),
        **FAILURES,
        "io.tmp.dirs": str(folders.scratch),
        "web.upload.dir": str(folders.scratch),
        "web.tmpdir": str(folders.scratch),
        "python.executable": str(python),
        "python.client.executable": str(python),
        # For so long its REST API answers from what it knew before; 3 s by default.
        "web.refresh-interval": "300 ms",
        # For Kerberos, which is not here.
        "security.delegation.tokens.enabled": False,
        # Rescales a job in place, and lets one wait for a TaskManager that is not there yet.
        "jobmanager.scheduler": "adaptive",
    }


def addresses(rest: int, inner: int) -> dict[str, Value]:
    """Loopback alone, and no port that the system would choose."""
    return {
        "rest.address": HOST,
        "rest.bind-address": HOST,
        "rest.port": rest,
        "rest.bind-port": str(rest),
        "jobmanager.rpc.address": HOST,
        "jobmanager.bind-host": HOST,
        "jobmanager.rpc.port": inner,
        "blob.server.port": str(inner + 1),
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "taskmanager.rpc.port": str(inner + 3),
        "taskmanager.data.port": inner + 4,
    }


def query_port(inner: int, role: str) -> int:
    """The port at which each process answers for its metrics."""
    return inner + {"jobmanager": 2, "taskmanager": 5}[role]


def memory(settings: Settings) -> dict[str, Value]:
    """Every part. The sum bounds a process from above; the TaskManager's RocksDB is the managed part."""
    heap = settings.flink_taskmanager_heap_mb
    return {
        "taskmanager.numberOfTaskSlots": settings.flink_slots,
        "taskmanager.cpu.cores": settings.flink_slots,
        "taskmanager.memory.framework.heap.size": f"{FRAMEWORK_HEAP_MB}m",
        "taskmanager.memory.task.heap.size": f"{heap - FRAMEWORK_HEAP_MB}m",
        "taskmanager.memory.framework.off-heap.size": f"{FRAMEWORK_DIRECT_MB}m",
        "taskmanager.memory.task.off-heap.size": "0m",
        "taskmanager.memory.network.min": f"{NETWORK_MB}m",
        "taskmanager.memory.network.max": f"{NETWORK_MB}m",
        "taskmanager.memory.managed.size": f"{settings.flink_state_mb}m",
        "taskmanager.memory.jvm-metaspace.size": f"{METASPACE_MB}m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "jobmanager.memory.heap.size": f"{settings.flink_jobmanager_heap_mb}m",
        "jobmanager.memory.off-heap.size": "128m",
        "jobmanager.memory.jvm-metaspace.size": f"{METASPACE_MB}m",
        "jobmanager.memory.jvm-overhead.min": "192m",
        "jobmanager.memory.jvm-overhead.max": "192m",
    }


def state(folders: Folders, checkpoint_ms: int) -> dict[str, Value]:
    """RocksDB with incremental checkpoints that stay when a job ends, so that another can begin from the last."""
    return {
        "state.backend.type": "rocksdb",
        # Its own log, one a state and start: megabytes an hour beside the servers' logs unless told otherwise.
        "state.backend.rocksdb.log.level": "HEADER_LEVEL",
        "state.backend.rocksdb.log.max-file-size": "1 mb",
        "state.backend.rocksdb.log.file-num": 1,
        "execution.checkpointing.incremental": True,
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": folders.checkpoints.as_uri(),
        "execution.checkpointing.savepoint-dir": folders.savepoints.as_uri(),
        "execution.checkpointing.interval": f"{checkpoint_ms} ms",
        "execution.checkpointing.min-pause": f"{checkpoint_ms // 4} ms",
        "execution.checkpointing.timeout": "2 min",
        "execution.checkpointing.tolerable-failed-checkpoints": 10,
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # Two: the newest may be half removed, or half written, when everything dies at once.
        "execution.checkpointing.num-retained": 2,
    }


FAILURES: Mapping[str, Value] = {
    # 50 s by default: so long a killed process would be believed alive.
    "heartbeat.interval": "2 s",
    "heartbeat.timeout": "10 s",
    # A machine under load answers late; that alone must not fail a job.
    "pekko.ask.timeout": "30 s",
    # About four minutes of trying, the time that sinks wait for a server; then the job fails, and says so.
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "500 ms",
    "restart-strategy.exponential-delay.backoff-multiplier": "2.0",
    "restart-strategy.exponential-delay.max-backoff": "10 s",
    "restart-strategy.exponential-delay.attempts-before-reset-backoff": 30,
    "restart-strategy.exponential-delay.reset-backoff-threshold": "2 min",
    # Five minutes by default, after which a TaskManager without a JobManager ends and a job without slots fails.
    "taskmanager.registration.timeout": "1 d",
    "jobmanager.adaptive-scheduler.submission.resource-wait-timeout": "1 d",
    # One machine: there is no second TaskManager that another moment of waiting would bring.
    "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout": "2 s",
    "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout": "2 s",
    "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling": "2 s",
}


def as_yaml(options: Mapping[str, Value]) -> str:
    """One option a line; a JSON scalar is a YAML scalar."""
    return "".join(f"{name}: {msgspec.json.encode(value).decode()}\n" for name, value in options.items())
