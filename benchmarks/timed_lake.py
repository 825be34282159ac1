"""`olist`, whose commits to lake tables are timed: one line of JSON per commit on stdout, lost attempts included."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from olist.cli.main import main
from olist.lake.table import LakeTable, Staged
from olist.positions import Positions

PROGRAM = ("-m", "benchmarks.timed_lake")


class Commit(msgspec.Struct, frozen=True):
    """A commit to one lake table. `at_s` is of `time.monotonic`, which all processes of a machine share."""

    table: str
    at_s: float
    took_ms: float


class TimedTable(LakeTable):
    """A lake table that says how long its commits take."""

    def commit(self, staged: Staged, held: Positions, to: Mapping[int, int]) -> Positions:
        """As the lake table's own."""
        started = time.perf_counter()
        positions = super().commit(staged, held, to)
        took_ms = 1000 * (time.perf_counter() - started)
        sys.stdout.buffer.write(msgspec.json.encode(Commit(self.name, time.monotonic(), round(took_ms, 2))) + b"\n")
        sys.stdout.buffer.flush()
        return positions


def commits(folder: Path, table: str) -> Iterator[Commit]:
    """What sinks that wrote to `folder`'s files said of one lake table; a line that a kill cut short is left out."""
    for path in sorted(folder.glob("sink-*.out")):
        for line in path.read_bytes().splitlines():
            if line.endswith(b"}") and (found := msgspec.json.decode(line, type=Commit)).table == table:
                yield found


if __name__ == "__main__":
    from sinks.iceberg import table

    table.LakeTable = TimedTable  # type: ignore[attr-defined]  # theirs to use, ours to replace
    main()
