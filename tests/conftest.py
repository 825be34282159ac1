"""What every test folder shares: the real servers, started once per run and only when a test asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pydantic import SecretStr

from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.servers.server import free_ports

# Asserts in these helpers explain themselves as those in tests do.
pytest.register_assert_rewrite("tests.commands", "tests.faults.shop", "tests.shops", "tests.apps", "tests.waiting")

hypothesis.settings.register_profile("tests", deadline=None)  # a machine that is busy is no finding
hypothesis.settings.load_profile("tests")


def settings_on_free_ports(home: Path) -> Settings:
    """Settings of a stack that collides with no other on this machine."""
    # Processes side by side look at blocks of their own: OpenSearch's port is the 20th there, its other one, a hundred
    # above, the 24th of a block where no port of another process is. The three between are for tests.
    first = free_ports(19, after=20000 + os.getpid() % 400 * 24)[0]
    opensearch = free_ports(1, also_above=100, after=first + 19)[0]
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
        opensearch_port=opensearch,
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
