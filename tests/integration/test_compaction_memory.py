"""The memory that a compaction is told to use holds for rows beyond it, and more rows need little more of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.rewriting import Rewriting, fill

pytestmark = pytest.mark.integration

MEMORY_MB = 512
FEW, MANY, ROWS = 10, 40, 100_000  # files; decoded about 170 and 680 MB, so that both are sorted in runs on disk
MOST_BYTES_A_ROW = 40  # of 170 decoded: where the row went to, and its part of a run's batch while runs are merged


def rewritten(home: Path, files: int) -> Rewriting:
    """The rewrite of so many files, in a process of its own."""
    fill(home, files, ROWS, deleted=0.1)
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.rewriting", str(home), str(MEMORY_MB), "True"],
        check=True,
        capture_output=True,
    )
    found = msgspec.json.decode(answer.stdout, type=Rewriting)
    assert found.live_rows == files * ROWS * 9 // 10
    assert found.files_after <= 2  # groups of three million rows
    return found


def test_rows_beyond_the_memory_given_are_rewritten_and_sorted_in_it_and_more_rows_in_little_more(
    tmp_path: Path,
) -> None:
    few, many = rewritten(tmp_path / "few", FEW), rewritten(tmp_path / "many", MANY)
    assert many.peak_mb < MEMORY_MB
    assert (many.peak_mb - few.peak_mb) * (1 << 20) < MOST_BYTES_A_ROW * (MANY - FEW) * ROWS
