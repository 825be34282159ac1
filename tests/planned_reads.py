"""A reader that plans on a table's head and reads its files for as long as the table's grace promises them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from compaction.expire import references
from olist.lake.catalog import identifier, open_catalog
from olist.lake.manifests import Manifests
from olist.settings import Settings

BETWEEN_READS_S = 0.2


class PlannedReads:
    """Plans and reads until told to stop: all files of the tables' heads, again and again, then of the next heads.

    `reads` counts them; `outlived` those plans whose snapshot had expired before the reader let go of it. `ended` is
    set once it reads no more, for whatever reason.
    """

    def __init__(self, catalog: SqlCatalog, names: Sequence[str], grace_s: float) -> None:
        self.catalog, self.names, self.grace_s = catalog, names, grace_s
        self.stopping, self.ended = Event(), Event()
        self.reads = self.outlived = 0

    def run(self) -> None:
        """Read until `stopping` is set.

        Raises:
            FileNotFoundError: a file went before the grace of its snapshot was over.
        """
        while not self.stopping.is_set():
            planned_s = time.monotonic()  # before the tables are loaded: their heads cannot have expired earlier
            tables = [self.catalog.load_table(identifier(name)) for name in self.names]
            try:
                self._read(tables, planned_s + self.grace_s)
            except FileNotFoundError:
                if time.monotonic() < planned_s + self.grace_s:
                    raise
            self.outlived += any(expired(table) for table in tables)

    def _read(self, tables: Sequence[Table], until_s: float) -> None:
        while time.monotonic() < until_s and not self.stopping.is_set():
            for table in tables:
                read_all(table)
            self.reads += 1
            self.stopping.wait(BETWEEN_READS_S)


def read_all(table: Table) -> int:
    """Read every file of a table's head, from its manifest list to its moves; return how many."""
    head = table.current_snapshot()
    assert head is not None
    paths = references([head], Manifests(table.io))
    for path in paths:
        with table.io.new_input(path).open() as stream:
            stream.read()
    return len(paths)


def expired(table: Table) -> bool:
    """Whether the head of a table, as it was loaded, is gone by now."""
    head = table.current_snapshot()
    assert head is not None
    return table.catalog.load_table(table.name()).metadata.snapshot_by_id(head.snapshot_id) is None


@contextmanager
def planned_reads(settings: Settings, names: Sequence[str], grace_s: float) -> Iterator[PlannedReads]:
    """A reader beside what the block does; a file that it missed within the grace fails the block."""
    with closing(open_catalog(settings)) as catalog, ThreadPoolExecutor(1, "planned-reads") as pool:
        reader = PlannedReads(catalog, names, grace_s)
        reading = pool.submit(reader.run)
        reading.add_done_callback(lambda _reading: reader.ended.set())
        try:
            yield reader
        finally:
            reader.stopping.set()
            reading.result()  # says more than whatever the block failed with
