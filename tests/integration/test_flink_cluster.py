"""Flink's two processes as servers: started, killed, started again, with a job that keeps state in RocksDB."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from olist.errors import StackError
from olist.stack.local import Stack
from olist.stack.servers.flink import JobManager
from olist.stack.servers.flink_config import Folders, flink_environment
from tests.conftest import settings_on_free_ports
from tests.waiting import wait_until

pytestmark = pytest.mark.integration

NAMES = ["jobmanager", "taskmanager"]
JOB = """
    from pyflink.table import EnvironmentSettings, TableEnvironment

    tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    tables.execute_sql(
        "create table numbers (n int) with ('connector' = 'datagen', 'rows-per-second' = '1000',"
        " 'fields.n.min' = '1', 'fields.n.max' = '50')"
    )
    tables.execute_sql("create table nowhere (n int, times bigint) with ('connector' = 'blackhole')")
    tables.execute_sql("insert into nowhere select n, count(*) from numbers group by n")
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A cluster of this file's own, since it kills it."""
    with Stack(settings_on_free_ports(tmp_path_factory.mktemp("flink")), NAMES, tied=True) as running:
        running.up()
        yield running


def folders(cluster: Stack) -> Folders:
    return JobManager(cluster.settings).folders


def ask(cluster: Stack, path: str) -> Any:
    answer = requests.get(f"{cluster.settings.flink_url}{path}", timeout=10)
    answer.raise_for_status()
    return answer.json()


def run(cluster: Stack, program: Path) -> str:
    """Submit a Python job by REST alone, and return its id."""
    url, environment = cluster.settings.flink_url, flink_environment(cluster.settings)
    with environment.python_jar.open("rb") as jar:
        files = {"jarfile": (environment.python_jar.name, jar, "application/x-java-archive")}
        uploaded = requests.post(f"{url}/jars/upload", files=files, timeout=60).json()
    request = {
        "entryClass": "org.apache.flink.client.python.PythonDriver",
        "programArgsList": ["-py", str(program)],
        "parallelism": 2,
    }
    answer = requests.post(f"{url}/jars/{Path(uploaded['filename']).name}/run", json=request, timeout=120)
    answer.raise_for_status()
    return str(answer.json()["jobid"])


def checkpoints(cluster: Stack, job: str) -> dict[str, int]:
    counts: dict[str, int] = ask(cluster, f"/jobs/{job}/checkpoints")["counts"]
    return counts


def slots(cluster: Stack) -> int:
    return sum(one["slotsNumber"] for one in ask(cluster, "/taskmanagers")["taskmanagers"])


@pytest.fixture(scope="module")
def job(cluster: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A running job whose counts are in RocksDB and in a checkpoint."""
    program = tmp_path_factory.mktemp("job") / "job.py"
    program.write_text(textwrap.dedent(JOB), encoding="utf-8")
    found = run(cluster, program)
    wait_until(lambda: checkpoints(cluster, found)["completed"] > 1, "two checkpoints")
    return found


def test_both_processes_become_ready_with_their_version_and_slots(cluster: Stack) -> None:
    found = {name: (state.phase, state.version) for name, state in cluster.states().items()}
    assert found == dict.fromkeys(NAMES, ("ready", flink_environment(cluster.settings).version))
    assert ask(cluster, "/overview")["slots-total"] == cluster.settings.flink_slots


def test_both_processes_listen_on_their_own_loopback_ports_only(cluster: Stack) -> None:
    for name, state in cluster.states().items():
        assert state.pid is not None
        listening = [c.laddr for c in psutil.Process(state.pid).net_connections("inet") if c.status == "LISTEN"]
        assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
        assert {address.port for address in listening} == {port.number for port in cluster.servers[name].ports()}


def test_a_job_survives_a_killed_taskmanager_with_its_state(cluster: Stack, job: str) -> None:
    cluster.kill("taskmanager")
    cluster.start("taskmanager")
    wait_until(lambda: checkpoints(cluster, job)["restored"] == 1, "the state's return from a checkpoint")
    before = checkpoints(cluster, job)["completed"]
    wait_until(lambda: checkpoints(cluster, job)["completed"] > before, "a checkpoint after that")
    assert ask(cluster, f"/jobs/{job}")["state"] == "RUNNING"


def test_a_running_job_leaves_both_processes_within_their_memory(cluster: Stack, job: str) -> None:
    resident = {name: psutil.Process(state.pid).memory_info().rss for name, state in cluster.states().items()}
    assert resident["jobmanager"] < 0.75e9
    assert resident["taskmanager"] < 1.6e9


def test_a_killed_jobmanager_returns_without_jobs_and_the_taskmanager_finds_it(cluster: Stack, job: str) -> None:
    pid = cluster.states()["taskmanager"].pid
    cluster.kill("jobmanager")
    cluster.start("jobmanager")
    assert ask(cluster, "/jobs")["jobs"] == []
    wait_until(lambda: slots(cluster) == cluster.settings.flink_slots, "the TaskManager's return")
    assert cluster.states()["taskmanager"].pid == pid
    assert list((folders(cluster).checkpoints / job).glob("chk-*/_metadata"))


def test_a_taskmanager_that_comes_first_waits_for_its_jobmanager(cluster: Stack) -> None:
    cluster.kill("taskmanager")
    cluster.kill("jobmanager")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(cluster.start, "taskmanager")
        wait_until(lambda: cluster.states()["taskmanager"].pid is not None, "the TaskManager's process")
        assert not first.done()
        cluster.start("jobmanager")
        first.result(timeout=120)
    assert slots(cluster) == cluster.settings.flink_slots


def test_a_stack_without_pyflink_is_refused_before_anything_starts(tmp_path: Path) -> None:
    settings = settings_on_free_ports(tmp_path).model_copy(update={"flink_env": tmp_path})
    with pytest.raises(StackError, match="holds no PyFlink"):
        Stack(settings, NAMES, tied=True).up()
    assert not (tmp_path / "run").exists()
