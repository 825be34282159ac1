from __future__ import annotations

import json

from benchmarks.freshness import Seen, ages_ms
from benchmarks.peer import total_records
from benchmarks.topic import Written


def test_a_record_is_as_old_as_the_first_look_that_found_its_offset_passed() -> None:
    seen = [Seen(0.0, {}), Seen(1_000.0, {0: 5}), Seen(2_000.0, {0: 5, 1: 1}), Seen(3_000.0, {0: 9, 1: 1})]
    stamps = [(0, 4, 900), (0, 5, 950), (1, 0, 1_500)]
    assert ages_ms(stamps, seen) == [100.0, 2_050.0, 500.0]


def test_the_ends_of_what_was_written_are_the_next_offsets() -> None:
    assert Written(stamps=[(0, 3, 1), (1, 7, 1), (0, 4, 2)]).ends == {0: 5, 1: 8}


def test_the_rows_of_a_table_are_those_of_its_head() -> None:
    table = {
        "current-snapshot-id": 2,
        "snapshots": [
            {"snapshot-id": 1, "summary": {"total-records": "10"}},
            {"snapshot-id": 2, "summary": {"total-records": "25"}},
        ],
    }
    assert total_records(json.dumps(table)) == 25


def test_a_table_without_a_snapshot_has_no_rows() -> None:
    assert total_records(json.dumps({"current-snapshot-id": -1})) == 0
