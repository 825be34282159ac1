"""Our rewrite beside Spark's `rewrite_data_files`, on copies of the same files. CPU time, so that cores do not matter.

Both read every file, apply the position deletes and write the live rows to one or few files, sorted or not. Spark is
measured twice, as it starts and when it has done the same before, since half of its first run is the JVM warming up;
its figures are of the JVM alone, from before the call to after it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import psutil
import pyarrow as pa
from pyiceberg.table import Table

from benchmarks.memory import peak_mb as own_peak_mb
from benchmarks.upsert import _frame
from compaction.job import Environment, Job
from compaction.rewrite import Budget
from olist.lake.catalog import CATALOG, identifier, open_catalog
from olist.lake.files import FileWriter
from olist.lake.row_delta import RowDelta
from olist.lake.schema import WHOLE
from olist.lake.table import LakeTable
from olist.settings import Settings
from olist.tables import ORDER_ITEMS
from tests.spark import Spark, spark

MB = 1_000_000
TABLE = ".".join((CATALOG, *identifier(ORDER_ITEMS.table)))


class Rewriting(msgspec.Struct):
    """One rewrite. `mb_per_core_s`: megabytes of input, delete files too, per second of CPU."""

    input_mb: float
    wall_s: float
    cpu_s: float
    mb_per_core_s: float
    peak_mb: float
    live_rows: int
    files_after: int


def compare(files: int, rows: int, deleted: float, memory_mb: int, *, order: bool) -> dict[str, Rewriting]:
    """Ours, Spark's first, Spark's second."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        made = home / "made"
        fill(made, files, rows, deleted)
        found = {"ours": _in_a_process(made, memory_mb, order)}
        for name in ("spark_cold", "spark_warm"):
            fill(home / name, files, rows, deleted)
        # One JVM: it knows a catalog by its first address, so the second table lies beside the first.
        with spark(local(home / "spark_cold"), home, heap_mb=2048) as engine:
            found["spark_cold"] = _by_spark(engine, home / "spark_cold", order)
            shutil.copy(home / "spark_warm" / "catalog.db", home / "spark_cold" / "catalog.db")
            found["spark_warm"] = _by_spark(engine, home / "spark_warm", order)
    return found


def local(home: Path) -> Settings:
    """A lake under a folder."""
    return Settings(warehouse=f"file://{home}/warehouse", catalog=f"sqlite:///{home}/catalog.db")


def fill(home: Path, files: int, rows: int, deleted: float) -> None:
    """Make the table: files of random rows, and one delete file that covers a share of each."""
    home.mkdir()
    table = LakeTable(open_catalog(local(home)), ORDER_ITEMS)
    table.open()
    writing = FileWriter.of(table.table)
    rng = np.random.default_rng(3)
    data = [writing.data_file(_frame(n * rows, rows, offset=n * rows).drop("_op"), WHOLE) for n in range(files)]
    gone = [np.sort(rng.choice(rows, int(rows * deleted), replace=False)) for _ in data]
    paths = pa.array([file.file_path for file, some in zip(data, gone, strict=True) for _ in some])
    deletes = [writing.delete_file(paths, pa.array(np.concatenate(gone)), WHOLE)] if deleted else []
    for added, removed in ((data, []), ([], deletes)):
        transaction = table.table.transaction()
        RowDelta(transaction, added, removed, {}).commit()
        transaction.commit_transaction()


def _in_a_process(home: Path, memory_mb: int, order: bool) -> Rewriting:
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.rewriting", str(home), str(memory_mb), str(order)],
        check=True,
        capture_output=True,
    )
    return msgspec.json.decode(answer.stdout, type=Rewriting)


def ours(home: Path, memory_mb: int, order: bool) -> Rewriting:
    """Ours, in this process."""
    settings = local(home)
    contract = ORDER_ITEMS if order else replace(ORDER_ITEMS, sort_by=())
    with TemporaryDirectory() as spill:
        budget = Budget(memory_mb << 20, Path(spill))
        job = Job(Environment(open_catalog(settings), settings, budget, scan_up_to=0), contract)
        table = job.load()
        assert table is not None
        return _measured(table, time.process_time, lambda: job.run(table), own_peak_mb)


def _by_spark(engine: Spark, home: Path, order: bool) -> Rewriting:
    strategy = f", strategy => 'sort', sort_order => '{', '.join(ORDER_ITEMS.sort_by)}'" if order else ""
    options = "options => map('rewrite-all','true')"
    call = f"CALL {CATALOG}.system.rewrite_data_files(table => '{TABLE}', {options}{strategy})"
    process = psutil.Process(engine.process.pid)
    table = open_catalog(local(home)).load_table(identifier(ORDER_ITEMS.table))

    def cpu_s() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    def peak_mb() -> float:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024

    return _measured(table, cpu_s, lambda: engine.run(call), peak_mb, of=engine)


def _measured(
    table: Table,
    cpu_s: Callable[[], float],
    work: Callable[[], object],
    peak_mb: Callable[[], float],
    of: Spark | None = None,
) -> Rewriting:
    head = table.current_snapshot()
    assert head is not None
    assert head.summary is not None
    size_mb = int(head.summary["total-files-size"] or 0) / MB
    wall, cpu = time.perf_counter(), cpu_s()
    work()
    cpu, wall = cpu_s() - cpu, time.perf_counter() - wall
    if of is None:
        after = table.refresh().scan().count()
        files = len(list(table.scan().plan_files()))
    else:
        after = int(of.rows(f"SELECT count(*) FROM {TABLE}")[0][0])
        files = int(of.rows(f"SELECT count(*) FROM {TABLE}.data_files")[0][0])
    return Rewriting(round(size_mb, 1), round(wall, 2), round(cpu, 2), round(size_mb / cpu, 1), peak_mb(), after, files)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(ours(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True")))
