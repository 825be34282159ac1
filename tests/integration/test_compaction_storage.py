"""Deleting many files from the real S3."""

from __future__ import annotations

import pytest

from compaction.storage import MOST_IN_A_REQUEST, delete, stored
from olist.lake.catalog import open_catalog
from olist.stack.local import Stack

pytestmark = pytest.mark.integration


def test_more_files_than_one_request_takes_are_deleted_and_missing_ones_are_fine(stack: Stack) -> None:
    settings = stack.settings
    folder = f"s3://{settings.s3_bucket}/deleting"
    catalog = open_catalog(settings)
    io = catalog._load_file_io(location=folder)
    there = [f"{folder}/{name}" for name in ("a", "b c", "d=é")]
    for path in there:
        with io.new_output(path).create() as out:
            out.write(b"x")
    missing = [f"{folder}/missing-{number}" for number in range(MOST_IN_A_REQUEST)]
    assert {file.path for file in stored(folder, settings)} == set(there)
    assert delete(io, [*there[:2], *missing, there[2]]) == len(there) + len(missing)
    assert not list(stored(folder, settings))
    assert delete(io, []) == 0
    catalog.close()
