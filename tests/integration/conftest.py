"""Servers that some of these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.secured_kafka import SecuredKafka


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A Kafka with TLS and SASL, started when the first test asks for it; so is what makes its certificates."""
    from tests import secured_kafka

    with secured_kafka.running(tmp_path_factory.mktemp("secured")) as running:
        yield running
