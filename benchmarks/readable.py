"""How far each target can be read now, asked as cheaply as it goes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from olist.batches import OFFSET, PARTITION
from olist.contracts import Contract
from olist.lake.ancestry import POSITIONS
from olist.lake.catalog import identifier, open_catalog
from olist.positions import Positions
from olist.settings import Settings
from sinks.opensearch.client import Client
from sinks.opensearch.mapping import index_name
from sinks.postgres import positions

POSITIONS_EXIST = b"SELECT to_regclass(%s) IS NOT NULL"
POINTER = b"SELECT metadata_location FROM iceberg_tables WHERE table_name = %s"


class Reach(NamedTuple):
    """Per partition the next offset that cannot be read yet, and how many milliseconds ago that was found."""

    next: dict[int, int]
    late_ms: float = 0.0


class Readable(ABC):
    """Looks at one table of one target."""

    every_s: float = 0.01

    def __init__(self, contract: Contract, settings: Settings) -> None:
        self.contract, self.settings = contract, settings
        self._last: object = None

    @abstractmethod
    def news(self) -> Reach | None:
        """How far it can be read, when that has changed since the last look."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


class _Database(Readable):
    def __init__(self, contract: Contract, settings: Settings) -> None:
        super().__init__(contract, settings)
        self.database = psycopg.connect(settings.postgres_url, autocommit=True)

    def close(self) -> None:
        self.database.close()


class Lake(_Database):
    """The catalog's pointer; what it points at is read once per commit."""

    def __init__(self, contract: Contract, settings: Settings) -> None:
        super().__init__(contract, settings)
        self._catalog = open_catalog(settings)

    def news(self) -> Reach | None:
        """By the positions that are in the table itself."""
        row = self.database.execute(POINTER, (self.contract.table,)).fetchone()
        if row is None or row == self._last:
            return None
        found_at = time.perf_counter()
        self._last = row
        text = self._catalog.load_table(identifier(self.contract.table)).properties.get(POSITIONS)
        if text is None:
            return None
        return Reach(Positions.decode(text).next, (time.perf_counter() - found_at) * 1000)


class Warehouse(_Database):
    """The positions, which move in the transaction that moves the rows."""

    def news(self) -> Reach | None:
        """By the sink's own table."""
        if self.database.execute(POSITIONS_EXIST, (positions.TABLE,)).fetchone() != (True,):
            return None
        found = positions.read(self.database, self.contract.table)
        if found is None or found.next == self._last:
            return None
        self._last = found.next
        return Reach(found.next)


class SearchIndex(Readable):
    """A search for the highest offset of each partition: documents get in by offset, so that all below are there."""

    every_s = 0.1

    def __init__(self, contract: Contract, settings: Settings) -> None:
        super().__init__(contract, settings)
        self._client = Client(settings)

    def news(self) -> Reach | None:
        """By what a search finds, deleted rows' documents included."""
        highest = {"highest": {"max": {"field": OFFSET}}}
        asked = {"size": 0, "aggs": {"by_partition": {"terms": {"field": PARTITION, "size": 100}, "aggs": highest}}}
        answer: Any = self._client.ask_unless((404, 503), "POST", f"/{index_name(self.contract)}/_search", asked)
        buckets = answer["aggregations"]["by_partition"]["buckets"] if answer else []
        found = {int(bucket["key"]): int(bucket["highest"]["value"]) + 1 for bucket in buckets}
        if found == (self._last or {}):
            return None
        self._last = found
        return Reach(found)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()


KINDS: dict[str, type[Readable]] = {"iceberg": Lake, "postgres": Warehouse, "opensearch": SearchIndex}


@contextmanager
def readable(target: str, contract: Contract, settings: Settings) -> Iterator[Readable]:
    """One table of one target, to be looked at."""
    looked = KINDS[target](contract, settings)
    try:
        yield looked
    finally:
        looked.close()
