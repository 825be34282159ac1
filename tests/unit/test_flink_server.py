from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.doctor import examine
from olist.stack.local import Stack
from olist.stack.servers.catalogue import USUAL, servers
from olist.stack.servers.flink import FlinkProcess, JobManager, TaskManager
from olist.stack.servers.flink_config import Folders, addresses, as_yaml, configuration, memory

OPENING = ("--add-opens=", "--add-exports=")
NAMES = ["jobmanager", "taskmanager"]


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    """Settings with an environment that holds PyFlink's files, though none of them would run."""
    package = tmp_path / "env" / "lib" / "python3.11" / "site-packages" / "pyflink"
    for name in ("lib/flink-dist-9.9.jar", "opt/flink-python-9.9.jar"):
        (package / name).parent.mkdir(parents=True)
        (package / name).touch()
    (package / "version.py").write_text('__version__ = "9.9"\n')
    return Settings(home=tmp_path / "home", flink=None, flink_env=tmp_path / "env", flink_inner_port=7000)


def both(settings: Settings) -> dict[str, FlinkProcess]:
    return {kind.name: kind(settings) for kind in (JobManager, TaskManager)}


def test_flink_starts_only_when_it_is_named() -> None:
    assert not set(NAMES) & set(USUAL)
    assert list(servers(Settings(), reversed(NAMES))) == NAMES


def test_flink_elsewhere_is_not_started_here() -> None:
    assert all(server.external for server in both(Settings(flink="http://elsewhere:8081")).values())


@pytest.mark.parametrize("name", NAMES)
def test_every_address_that_flink_binds_is_loopback_and_every_port_is_ours(name: str, chosen: Settings) -> None:
    server = both(chosen)[name]
    server.prepare()
    text = (server.own / "config.yaml").read_text("utf-8")
    hosts = re.findall(r"^\S*(?:host|address): (.*)$", text, re.MULTILINE)
    assert len(hosts) == 6
    assert set(hosts) == {'"127.0.0.1"'}
    said = {int(number) for number in re.findall(r"^\S*port: \"?(\d+)", text, re.MULTILINE)}
    assert {port.number for port in server.ports()} <= said


def test_no_two_listeners_of_flink_share_a_port(chosen: Settings) -> None:
    numbers = sorted(port.number for server in both(chosen).values() for port in server.ports())
    assert numbers == [*range(7000, 7006), chosen.flink_port]


def test_the_default_ports_of_all_servers_differ() -> None:
    default = Settings.model_construct()
    numbers = sorted(port.number for server in servers(default).values() for port in server.ports())
    assert all(one < other for one, other in pairwise(numbers))


def test_a_taskmanagers_heap_is_the_sum_of_the_parts_that_flink_is_told() -> None:
    parts = memory(Settings(flink_taskmanager_heap_mb=900))
    heap = [int(str(value).rstrip("m")) for name, value in parts.items() if re.search(r"^taskm.*heap\.size", name)]
    framework, task, direct, none = heap
    assert (framework + task, direct, none) == (900, 128, 0)


def test_java_gets_the_limits_that_flink_is_told(chosen: Settings) -> None:
    argv = TaskManager(chosen).launch().argv
    assert {"-Xmx640m", "-XX:MaxDirectMemorySize=224m", "-XX:MaxMetaspaceSize=256m"} <= set(argv)
    assert "-Xmx448m" in JobManager(chosen).launch().argv


def test_checkpoints_and_savepoints_lie_outside_of_what_a_start_removes(chosen: Settings) -> None:
    server = JobManager(chosen)
    server.prepare()
    kept, left = server.folders.checkpoints / "kept", server.folders.scratch / "left"
    kept.touch()
    left.touch()
    server.prepare()
    assert (kept.exists(), left.exists()) == (True, False)


def test_rocksdbs_own_log_is_short_and_lies_where_flink_finds_room_for_its_name(chosen: Settings) -> None:
    server = TaskManager(chosen)
    server.prepare()
    written = (server.own / "config.yaml").read_text()
    assert 'state.backend.rocksdb.log.level: "HEADER_LEVEL"' in written
    assert "state.backend.rocksdb.log.dir" not in written  # in a folder that is named the file's name is not checked


def test_both_processes_keep_their_checkpoints_in_one_place(chosen: Settings) -> None:
    assert len({server.folders.checkpoints for server in both(chosen).values()}) == 1
    assert len({server.own for server in both(chosen).values()}) == 2


def test_an_option_survives_being_written_whatever_it_holds() -> None:
    assert as_yaml({"a": "file:///b c: #d", "e": 1, "f": True}) == 'a: "file:///b c: #d"\ne: 1\nf: true\n'


def test_jobs_run_with_the_python_of_the_flink_environment(chosen: Settings, tmp_path: Path) -> None:
    options = configuration(chosen, Folders(tmp_path, tmp_path), Path("/p/python"))
    assert options["python.executable"] == options["python.client.executable"] == "/p/python"


def test_the_classpath_holds_flink_its_python_driver_and_the_kafka_connector(chosen: Settings) -> None:
    jars = JobManager(chosen).launch().env["CLASSPATH"].split(":")
    names = [Path(jar).name for jar in jars]
    assert names == ["flink-dist-9.9.jar", "flink-python-9.9.jar", "flink-sql-connector-kafka-5.0.0-2.2.jar"]


def test_every_start_of_a_taskmanager_has_another_name(chosen: Settings) -> None:
    server = TaskManager(chosen)
    server.prepare()
    first = server.identity
    server.prepare()
    assert first != server.identity
    assert f'"{server.identity}"' in (server.own / "config.yaml").read_text("utf-8")


def test_the_taskmanager_looks_for_the_jobmanager_where_that_listens(chosen: Settings) -> None:
    inner = addresses(rest=1, inner=7000)["jobmanager.rpc.port"]
    assert inner in {port.number for port in JobManager(chosen).ports()}


def test_an_environment_without_pyflink_is_named_with_the_way_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="holds no PyFlink") as caught:
        JobManager(Settings(home=tmp_path, flink_env=tmp_path)).unpack()
    assert "make .venv-flink/.ready" in caught.value.hint


def test_doctor_warns_when_pyflink_is_missing_and_says_its_version_when_not(chosen: Settings) -> None:
    found = {finding.check: finding for finding in examine(chosen)}
    assert (found["flink"].level, "PyFlink 9.9" in found["flink"].found) == ("OK", True)
    missing = chosen.model_copy(update={"flink_env": chosen.home})
    found = {finding.check: finding for finding in examine(missing)}
    assert (found["flink"].level, "make" in found["flink"].way_out) == ("WARN", True)


def test_delete_removes_the_clusters_state_and_settings_once(chosen: Settings) -> None:
    JobManager(chosen).prepare()
    assert Stack(chosen).data() == [chosen.home.resolve() / "flink"]


def test_no_module_is_opened_that_a_small_java_lacks(chosen: Settings) -> None:
    opened = [option for option in JobManager(chosen).launch().argv if option.startswith(OPENING)]
    assert len(opened) == 14
    assert not any("jdk.compiler" in option for option in opened)
