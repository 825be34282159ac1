from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.io.pyarrow import PyArrowFileIO

from compaction.commit import translate
from compaction.external_sort import sorted_frames
from olist.lake.key_index import FREE, Rewrite, pack
from olist.lake.row_moves import DROPPED, Moves, NewFile

old_files = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 12), min_size=1)


@st.composite
def rewrites(draw: st.DrawFn) -> Moves:
    """Moves of a rewrite that drops some rows and puts the others anywhere."""
    sizes = draw(old_files)
    rows = [(name, row) for name, size in sizes.items() for row in range(size)]
    kept = draw(st.permutations([row for row in rows if draw(st.booleans())]))
    cut = draw(st.integers(0, len(kept)))
    to = {name: np.full(size, DROPPED, dtype=np.int64) for name, size in sizes.items()}
    for number, part in enumerate((kept[:cut], kept[cut:])):
        for at, (name, row) in enumerate(part):
            to[name][row] = pack(number, np.array([at]))[0]
    return Moves([NewFile("x", (7,)), NewFile("y", ())], to)


@settings(deadline=None)
@given(rewrites(), st.data())
def test_a_delete_follows_its_row_and_one_of_a_dropped_row_is_left_out(moves: Moves, data: st.DataObject) -> None:
    arrived = {
        name: np.array(sorted(data.draw(st.sets(st.sampled_from(range(len(to)))))), dtype=np.int64)
        for name, to in moves.to.items()
        if len(to)
    }
    wanted: dict[str, set[int]] = {}
    for name, rows in arrived.items():
        for place in moves.to[name][rows].tolist():
            if place != DROPPED:
                wanted.setdefault(moves.new[place >> 36].path, set()).add(place & ((1 << 36) - 1))
    found = translate(arrived, moves)
    assert {path: rows.tolist() for path, rows in found.items()} == {p: sorted(rows) for p, rows in wanted.items()}


@settings(deadline=None)
@given(rewrites())
def test_moves_are_read_back_as_they_were_written(moves: Moves) -> None:
    io = PyArrowFileIO()
    with TemporaryDirectory() as folder:
        read = Moves.read(io, moves.write(io, f"file://{folder}"))
    assert list(read.new) == list(moves.new)
    assert {name: to.tolist() for name, to in read.to.items()} == {name: to.tolist() for name, to in moves.to.items()}


def test_a_location_in_a_rewritten_file_moves_and_others_stay() -> None:
    rewrite = Rewrite({2: pack(5, np.array([1, 0])), 0: np.array([FREE])})
    locations = np.concatenate([pack(2, np.array([0, 1])), pack(1, np.array([9])), pack(8, np.array([3]))])
    assert rewrite.translate(locations).tolist() == [
        *pack(5, np.array([1, 0])).tolist(),
        *pack(1, np.array([9])).tolist(),
        *pack(8, np.array([3])).tolist(),
    ]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.none() | st.integers(-50, 50), max_size=60), max_size=12), st.integers(1, 4000))
def test_a_sort_that_spills_equals_one_in_memory(frames: list[list[int | None]], run_bytes: int) -> None:
    rows = [(value, n) for n, value in enumerate(value for frame in frames for value in frame)]
    parts, at = [], 0
    for frame in frames:
        parts.append(pl.DataFrame(rows[at : at + len(frame)], schema={"a": pl.Int64, "n": pl.Int64}, orient="row"))
        at += len(frame)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr("compaction.external_sort.BATCH_ROWS", 7)
        patch.setattr("compaction.external_sort.FAN_IN", 3)
        spill = Path(folder)
        found = [row for frame in sorted_frames(parts, ["a", "n"], run_bytes, spill) for row in frame.iter_rows()]
        assert list(spill.iterdir()) == []
    assert found == sorted(rows, key=lambda row: (row[0] is not None, row[0], row[1]))


MEASURE = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
import numpy as np, polars as pl
from benchmarks.memory import peak_mb
from compaction.external_sort import sorted_frames
rng = np.random.default_rng(1)
def frames(count):
    for n in range(count):
        yield pl.DataFrame({"a": rng.integers(0, 1 << 40, 50_000), "n": np.arange(50_000) + n * 50_000})
# What the libraries take at their first use is not the sort's.
list(sorted_frames(frames(6), ["a", "n"], 3 << 20, Path(sys.argv[1])))
before, rows, last = peak_mb(), 0, -1
for frame in sorted_frames(frames(60), ["a", "n"], 3 << 20, Path(sys.argv[1])):
    assert frame["a"].is_sorted() and frame["a"][0] >= last
    rows, last = rows + frame.height, frame["a"][-1]
assert rows == 3_000_000, rows
print(round(peak_mb() - before))
"""


def test_three_million_rows_are_sorted_in_thirty_megabytes(tmp_path: Path) -> None:
    grown = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], check=True, capture_output=True, text=True
    ).stdout
    assert int(grown) < 30, f"{grown} MB for 48 MB of rows"
