"""Each cluster's tests are one process's, and the longest come first."""

from __future__ import annotations

from pathlib import Path

from tests.spread import CLUSTERS, ROOT, together, turn

FILES = [path.relative_to(ROOT).as_posix() for path in sorted(Path(ROOT, "tests").rglob("test_*.py"))]


def test_files_that_ask_for_a_cluster_run_together_and_every_other_by_itself() -> None:
    assert together("tests/integration/test_apps_flink.py") == together("tests/integration/test_derived_tables.py")
    assert together("tests/integration/test_cdc.py") == together("tests/faults/test_cdc_deaths.py")
    assert {together(file) for file in FILES} - set(FILES) == set(CLUSTERS.values())


def test_quick_tests_come_first_and_then_what_no_other_process_can_help_with() -> None:
    turns = [together(file) for file in sorted(FILES, key=turn)]
    quick = sum(file.startswith(("tests/unit/", "tests/golden/")) for file in FILES)
    assert set(turns[:quick]) & set(CLUSTERS.values()) == set()
    assert list(dict.fromkeys(turns[quick:]))[: len(CLUSTERS)] == [*CLUSTERS.values()]
