from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from olist.stack.local import Stack
from olist.tables import TABLES
from olist.topics.admin import ensure_topics
from producers.generation.dataset import generate
from tests.faults.shop import Shop

ORDERS = 1_500
_prefixes = count()


@pytest.fixture(scope="session")
def made_up_orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "data"
    generate(folder, ORDERS, 7, lambda _done: None)
    return folder


@pytest.fixture
def shop(stack: Stack, made_up_orders: Path, tmp_path: Path) -> Iterator[Shop]:
    settings = stack.settings.model_copy(
        update={"topic_prefix": f"fault{next(_prefixes)}.shop", "session_timeout_ms": 6_000}
    )
    made = Shop(settings, made_up_orders, tmp_path, random.Random(11))
    made.empty()
    ensure_topics(settings, TABLES.values())
    yield made
    made.close()
    made.empty()
