"""What every test folder shares: the real servers, started once per run and only when a test asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pydantic import SecretStr
from xdist.remote import Producer
from xdist.scheduler import Scheduling

from olist.settings import Settings
from olist.stack.local import Stack
from tests.fuzzed import LONG
from tests.port_claims import claimed_ports
from tests.spread import ByCluster, turn

# Asserts in these helpers explain themselves as those in tests do.
pytest.register_assert_rewrite("tests.commands", "tests.faults.shop", "tests.shops", "tests.apps", "tests.waiting")

hypothesis.settings.register_profile("tests", deadline=None)  # a machine that is busy is no finding
hypothesis.settings.register_profile("long", deadline=None, max_examples=LONG, print_blob=True)  # `make fuzz`
hypothesis.settings.load_profile("tests")


@pytest.hookimpl(trylast=True)  # after pytest has put tests of a session's parameter side by side
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, then those that one process must run alone."""
    items.sort(key=lambda item: turn(file_of(item)))


def file_of(item: pytest.Item) -> str:
    """Where a test stands, as its id has it."""
    return item.nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Keep a cluster's files together where files are."""
    return ByCluster(config, log) if config.getvalue("dist") == "loadfile" else None


def settings_on_free_ports(home: Path) -> Settings:
    """Settings of a stack that collides with no other on this machine."""
    first = claimed_ports()
    return Settings(
        home=home,
        kafka=None,
        kafka_port=first,
        kafka_controller_port=first + 1,
        postgres=None,
        postgres_port=first + 2,
        s3=None,
        s3_port=first + 3,
        connect=None,
        connect_port=first + 11,
        mongodb=SecretStr("mongodb://127.0.0.1:9/"),  # never there; the worker has its connector for the asking
        flink=None,
        flink_port=first + 12,
        flink_inner_port=first + 13,
        opensearch=None,
        opensearch_port=first + 19,  # and a hundred above; those between this one and the last are for tests
        flink_checkpoint_ms=1000,  # with which rows become readable
        app_metrics_s=1.0,
        app_steady_s=1.5,  # those of the tests that fall over do so with a record that is there before they start
    )


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, PostgreSQL, S3 and OpenSearch; they end with this process, however it ends.

    `stack.settings` says where they are; `stack.kill(name)` and `stack.start(name)` make faults.
    """
    with Stack(settings_on_free_ports(tmp_path_factory.mktemp("stack")), tied=True) as running:
        running.up()
        yield running


@pytest.fixture(scope="session")
def connect_stack(stack: Stack) -> Stack:
    """The same Kafka and PostgreSQL with Kafka Connect beside them, which starts when the first test asks for it."""
    named = Stack(stack.settings, ["kafka", "postgres", "connect"], tied=True)
    named.up()
    return named


@pytest.fixture(scope="session")
def flink_stack(stack: Stack) -> Stack:
    """The same Kafka with a Flink cluster beside it, which starts when the first test asks for it."""
    named = Stack(stack.settings, ["kafka", "jobmanager", "taskmanager"], tied=True)
    named.up()
    return named
