"""Deleting many files from the real S3."""

from __future__ import annotations

from dataclasses import replace

import pytest

from compaction.storage import MOST_IN_A_REQUEST, delete, stored
from compaction.sweep import orphans
from olist.lake.catalog import open_catalog
from olist.lake.files import amended
from olist.positions import Positions
from olist.stack.local import Stack
from tests.lakes import WHOLE_NOTES, Lake

pytestmark = pytest.mark.integration

FAR = 1 << 42


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


@pytest.mark.parametrize("scheme", ["s3a", "s3n"])
def test_a_live_file_is_no_orphan_by_whichever_scheme_its_table_names_it(stack: Stack, scheme: str) -> None:
    lake = Lake(stack.settings, replace(WHOLE_NOTES, table=f"named_by_{scheme}"))
    writer = lake.writer()
    staged = writer.stage(lake.changes.frame([(1, 5)])[0])
    real = staged.data_files[0].file_path
    staged.data_files = [amended(staged.data_files[0], file_path=real.replace("s3://", f"{scheme}://"))]
    try:
        assert [found.path for found in orphans(writer.table.refresh, stack.settings, 0, FAR).files] == [real]
        writer.commit(staged, Positions.start("notes", "id", 2), {0: 1})
        assert orphans(writer.table.refresh, stack.settings, 0, FAR).files == []
    finally:
        writer.drop()
        lake.catalog.close()
