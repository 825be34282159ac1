"""The memory that a compaction is told to use holds, however large the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.rewriting import Rewriting, fill

pytestmark = pytest.mark.integration

MEMORY_MB = 512
FILES, ROWS = 40, 100_000  # decoded about 680 MB


def test_rows_beyond_the_memory_given_are_rewritten_and_sorted_in_it(tmp_path: Path) -> None:
    home = tmp_path / "lake"
    fill(home, FILES, ROWS, deleted=0.1)
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.rewriting", str(home), str(MEMORY_MB), "True"],
        check=True,
        capture_output=True,
    )
    found = msgspec.json.decode(answer.stdout, type=Rewriting)
    assert found.live_rows == FILES * ROWS * 9 // 10
    assert found.files_after == 1
    assert found.peak_mb < MEMORY_MB
