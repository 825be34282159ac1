"""Our upsert beside PyIceberg's own: the same rows into the same table.

    python -m benchmarks.upsert --rows 5000000 --changes 1000000

Ours is what a sink does with a batch: look the keys up in the index, write a data file and position deletes, commit.
PyIceberg's is `Table.upsert` on the key columns, on a fresh copy of the table; it is stopped after `--most-s` seconds,
and its figure is then a bound. Both are handed the rows as they want them (a frame, an Arrow table).
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec
import numpy as np
import polars as pl

from benchmarks.memory import peak_mb as own_peak_mb
from olist.batches import COMMITTED_AT, META, OFFSET, OP, PARTITION, frame_schema
from olist.lake.catalog import identifier, open_catalog
from olist.lake.schema import iceberg_schema
from olist.lake.table import LakeTable
from olist.positions import Positions
from olist.settings import Settings
from olist.tables import ORDER_ITEMS

CONTRACT = ORDER_ITEMS
BATCH = 500_000


class Measured(msgspec.Struct):
    """Seconds of one upsert. `bound`: it was stopped there. `index_s` is paid once per process, not per upsert."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    bound: bool = False
    index_s: float = 0.0


@click.command()
@click.option("--rows", default=5_000_000, show_default=True, help="Rows of the table.")
@click.option("--changes", default=1_000_000, show_default=True, help="Rows to upsert; half of them are new.")
@click.option("--most-s", default=1200.0, show_default=True, help="Stop PyIceberg after so long.")
def main(rows: int, changes: int, most_s: float) -> None:
    """Print both figures and their ratio as JSON."""
    with TemporaryDirectory() as folder:
        ours, index_s = _measured(_ours, Path(folder) / "ours", rows, changes, most_s)
        theirs, _ = _measured(_pyiceberg, Path(folder) / "theirs", rows, changes, most_s)
    ours.index_s = index_s
    ratio = theirs.wall_s / ours.wall_s
    sys.stdout.write(msgspec.json.format(msgspec.json.encode({"ours": ours, "theirs": theirs, "x": ratio})).decode())


def _measured(work: Callable[..., None], home: Path, rows: int, changes: int, most_s: float) -> tuple[Measured, float]:
    """Run in a process of its own, so that the peak is its own; the clock starts when the table is there."""
    home.mkdir()
    ours, child = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(child, home, rows, changes))
    process.start()
    index_s = ours.recv()  # the table is there
    started = time.perf_counter()
    if ours.poll(most_s):
        found: Measured = ours.recv()
    else:
        found = Measured(time.perf_counter() - started, 0.0, 0.0, bound=True)
        process.kill()
    process.join()
    return found, index_s


def _ours(pipe: Connection, home: Path, rows: int, changes: int) -> None:
    table = _filled(home, rows)
    started = time.perf_counter()
    table.assign(frozenset([0]))
    index_s = time.perf_counter() - started
    batch = _frame(rows - changes // 2, changes, offset=rows)
    held = table.positions
    assert held is not None

    def upsert() -> None:
        table.commit(table.stage(batch), held, {0: rows + changes})

    _report(pipe, index_s, upsert)


def _pyiceberg(pipe: Connection, home: Path, rows: int, changes: int) -> None:
    table = _filled(home, rows).table
    batch = _frame(rows - changes // 2, changes, offset=rows).drop(OP)
    wanted = iceberg_schema(CONTRACT, history=False).as_arrow()
    arrow = batch.select(wanted.names).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(wanted)
    _report(pipe, 0.0, lambda: table.upsert(arrow, join_cols=list(CONTRACT.key)))


def _report(pipe: Connection, index_s: float, upsert: Callable[[], object]) -> None:
    pipe.send(index_s)
    wall, cpu = time.perf_counter(), time.process_time()
    upsert()
    pipe.send(Measured(time.perf_counter() - wall, time.process_time() - cpu, own_peak_mb()))


def _filled(home: Path, rows: int) -> LakeTable:
    settings = Settings(warehouse=f"file://{home}/warehouse", catalog=f"sqlite:///{home}/catalog.db")
    table = LakeTable(open_catalog(settings), CONTRACT)
    held = table.open() or Positions.start("t", "id", 1)
    for first in range(0, rows, BATCH):
        count = min(BATCH, rows - first)
        held = table.commit(table.stage(_frame(first, count, offset=first)), held, {0: first + count})
    fresh = LakeTable(open_catalog(settings), CONTRACT)
    fresh.open()
    assert fresh.catalog.table_exists(identifier(CONTRACT.table))
    return fresh


def _frame(first: int, count: int, offset: int) -> pl.DataFrame:
    """Rows `first` to `first + count` by number, keys spread as random ones are."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    keys = pl.Series(numbers * np.uint64(0x9E3779B97F4A7C15)).cast(pl.String).str.pad_start(32, "0")
    columns = [column for column in frame_schema(CONTRACT).items() if column[0] not in META]
    text, numeric = keys, pl.Series(numbers % 100_000)
    made = [
        (text if kind == pl.String() else pl.Series(np.ones(count)) if name in CONTRACT.key else numeric)
        .cast(kind)
        .alias(name)
        for name, kind in columns
    ]
    offsets = pl.Series(OFFSET, np.arange(offset, offset + count))
    origin = [
        pl.Series(OP, ["u"]).new_from_index(0, count),
        pl.Series(PARTITION, np.zeros(count, dtype=np.int32)),
        offsets,
        offsets.cast(pl.Datetime("us")).alias(COMMITTED_AT),
    ]
    return pl.DataFrame([*made, *origin])


if __name__ == "__main__":
    main()
