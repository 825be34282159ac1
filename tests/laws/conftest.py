"""Each law runs once per target. The real servers start when the first law on one of them does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from olist.contracts import Contract
from olist.settings import Settings
from olist.stack.local import Stack
from sinks.opensearch.table import OpenSearchTable
from sinks.postgres.table import PostgresTable
from tests.laws.parcels import fresh
from tests.laws.targets import TARGETS, Bench


@pytest.fixture(scope="session", params=TARGETS, ids=lambda target: target.name)
def bench(request: pytest.FixtureRequest) -> Bench:
    """A target and its servers."""
    on_servers = request.param.server is not None
    return Bench(request.param, request.getfixturevalue("stack").settings if on_servers else Settings())


@pytest.fixture
def parcels(bench: Bench) -> Iterator[Contract]:
    """A table of parcels of this test's own, removed at the end."""
    contract = fresh()
    yield contract
    table = bench.connect(contract)
    table.drop()
    table.close()


@pytest.fixture
def table(stack: Stack) -> Iterator[PostgresTable]:
    """Parcels in the warehouse, opened."""
    made = PostgresTable(fresh(), stack.settings.postgres_url)
    made.open()
    yield made
    made.drop()
    made.close()


@pytest.fixture
def index(stack: Stack) -> Iterator[OpenSearchTable]:
    """Parcels in the search index, opened."""
    made = OpenSearchTable(fresh(), stack.settings)
    made.open()
    yield made
    made.drop()
    made.close()
