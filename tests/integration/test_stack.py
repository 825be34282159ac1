from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import psutil
import psycopg
import pytest
import requests
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # its stub does not export it

from olist.clients.kafka import client_options
from olist.errors import StackError
from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.servers.server import owner
from tests.conftest import settings_on_free_ports
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.integration

NAMES = ["kafka", "postgres", "s3", "opensearch"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of this file's own, since it kills them."""
    with Stack(settings_on_free_ports(tmp_path_factory.mktemp("own")), tied=True) as running:
        running.up()
        yield running


def test_all_servers_become_ready_and_say_their_versions(own: Stack) -> None:
    states = own.states()
    assert {name: state.phase for name, state in states.items()} == dict.fromkeys(NAMES, "ready")
    assert states["kafka"].version == "4.3.1"
    assert states["postgres"].version.startswith("18.")
    assert states["opensearch"].version == "3.8.0"


def test_up_again_leaves_what_runs_alone(own: Stack) -> None:
    before = own.states()
    assert own.up() == before


def test_every_server_listens_on_loopback_only(own: Stack) -> None:
    for state in own.states().values():
        assert state.pid is not None
        addresses = {c.laddr.ip for c in psutil.Process(state.pid).net_connections("inet") if c.status == "LISTEN"}
        assert addresses
        assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def write_kafka(settings: Settings) -> None:
    admin = AdminClient({**client_options(settings)})
    admin.create_topics([NewTopic("kept", 1)])["kept"].result(10)
    producer = Producer({**client_options(settings), "acks": "all"})
    producer.produce("kept", b"value", b"key")
    assert producer.flush(10) == 0


def read_kafka(settings: Settings) -> None:
    config = {**client_options(settings), "group.id": "t", "auto.offset.reset": "earliest"}
    consumer = Consumer(config)
    consumer.subscribe(["kept"])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.value() == b"value"


def write_postgres(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url) as connection:
        connection.execute("create table kept as select 'value' as v")


def read_postgres(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url) as connection:
        assert connection.execute("select v from kept").fetchone() == ("value",)


def bucket(settings: Settings):  # type: ignore[no-untyped-def] # boto3 ships no types
    session = boto3.resource(
        "s3",
        endpoint_url=settings.s3_url,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        region_name=settings.s3_region,
    )
    return session.Bucket(settings.s3_bucket)


def write_s3(settings: Settings) -> None:
    for number in range(50):
        bucket(settings).put_object(Key=f"kept/{number}", Body=b"value" * 10_000)


def read_s3(settings: Settings) -> None:
    found = {item.key: item.get()["Body"].read() for item in bucket(settings).objects.filter(Prefix="kept/")}
    assert found == {f"kept/{number}": b"value" * 10_000 for number in range(50)}


def write_opensearch(settings: Settings) -> None:
    requests.put(f"{settings.opensearch_url}/kept", timeout=30).raise_for_status()
    requests.put(f"{settings.opensearch_url}/kept/_doc/1", json={"v": "value"}, timeout=30).raise_for_status()


def read_opensearch(settings: Settings) -> None:
    found = requests.get(f"{settings.opensearch_url}/kept/_doc/1", timeout=30).json()
    assert found["_source"] == {"v": "value"}


WRITE: dict[str, Callable[[Settings], None]] = {
    "kafka": write_kafka,
    "postgres": write_postgres,
    "s3": write_s3,
    "opensearch": write_opensearch,
}
READ: dict[str, Callable[[Settings], None]] = {
    "kafka": read_kafka,
    "postgres": read_postgres,
    "s3": read_s3,
    "opensearch": read_opensearch,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_server_is_named_and_starts_again_with_what_it_acknowledged(own: Stack, name: str) -> None:
    WRITE[name](own.settings)
    own.kill(name)
    state = own.states()[name]
    assert (state.phase, state.reason) == ("crashed", "killed by SIGKILL")
    others = {other: own.states()[other].pid for other in NAMES if other != name}
    own.up()
    assert {other: own.states()[other].pid for other in NAMES if other != name} == others
    READ[name](own.settings)


def test_a_server_that_cannot_start_is_named_with_the_last_lines_of_its_log(own: Stack) -> None:
    own.kill("postgres")
    version = own.home.path / "postgres" / "data" / "PG_VERSION"
    text = version.read_text()
    version.write_text("9.6\n")
    with pytest.raises(StackError, match=r"(?s)postgres crashed: exited with code 1.*not compatible"):
        own.start("postgres")
    version.write_text(text)
    own.start("postgres")


def test_a_port_in_use_is_refused_with_its_owner_and_its_variable(own: Stack, tmp_path: Path) -> None:
    settings = own.settings.model_copy(update={"home": tmp_path})
    with pytest.raises(StackError, match=rf"postgres needs port {settings.postgres_port}, taken by .*pid") as caught:
        Stack(settings, ["postgres"], tied=True).up()
    assert "OLIST_POSTGRES_PORT" in caught.value.hint
    assert not (tmp_path / "postgres").exists()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """The two servers that start soonest."""
    with Stack(settings_on_free_ports(tmp_path / "deep" / "home"), ["postgres", "s3"], tied=True) as stack:
        stack.up()
        yield stack


def pids(stack: Stack) -> list[int]:
    return [state.pid for state in stack.states().values() if state.pid is not None]


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


def tree(stack: Stack) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in pids(stack)]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def test_no_server_outlives_a_killed_supervisor(small: Stack) -> None:
    processes = tree(small)
    supervisor = small.home.supervisor()
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert gone(processes)
    assert {state.phase for state in small.states().values()} == {"stopped"}
    small.up()
    assert {state.phase for state in small.states().values()} == {"ready"}


def test_down_leaves_nothing_running_and_keeps_the_data(small: Stack) -> None:
    WRITE["postgres"](small.settings)
    WRITE["s3"](small.settings)
    processes = tree(small)
    small.down()
    assert gone(processes)
    assert not any(owner(port.number) for server in small.servers.values() for port in server.ports())
    small.up()
    READ["postgres"](small.settings)
    READ["s3"](small.settings)


def test_delete_removes_the_data_wherever_it_lies(small: Stack) -> None:
    with pytest.raises(StackError, match="still runs"):
        small.delete()
    small.down()
    paths = small.data()
    small.delete()
    assert not any(path.exists() for path in paths)


def test_a_tied_stack_ends_with_the_process_that_made_it(tmp_path: Path) -> None:
    settings = settings_on_free_ports(tmp_path)
    script = f"""
from olist.settings import Settings
from olist.stack.local import Stack
stack = Stack(Settings(home={str(tmp_path)!r}, postgres_port={settings.postgres_port}), ["postgres"], tied=True)
stack.up()
print("up", flush=True)
input()
"""
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        assert maker.stdout.readline() == b"up\n"
        stack = Stack(settings, ["postgres"])
        processes = tree(stack)
        maker.kill()
    assert gone(processes)


def test_two_programs_that_bring_up_one_home_at_once_share_one_supervisor(tmp_path: Path) -> None:
    settings = settings_on_free_ports(tmp_path)
    script = f"""
from olist.settings import Settings
from olist.stack.local import Stack
stack = Stack(Settings(home={str(tmp_path)!r}, postgres_port={settings.postgres_port}), ["postgres"])
print(stack.up()["postgres"].pid)
"""
    both = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        answers = {process.communicate(timeout=DEADLINE_S)[0] for process in both}
    finally:
        Stack(settings).down()
    assert len(answers) == 1
    assert answers != {b""}


def test_the_stack_starts_again_within_its_memory(own: Stack) -> None:
    own.down()
    own.up()
    assert sum(process.memory_info().rss for process in tree(own)) < 2.5e9
