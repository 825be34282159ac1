from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from olist.errors import ContractRefused, ServerTrouble
from olist.lake.catalog import open_catalog
from olist.lake.files import MAX_UNCOMMITTED_MS, wall_ms
from olist.lake.row_locations import REINDEXING
from olist.lake.table import LakeTable
from olist.positions import Positions
from tests.lakes import NOTES, PARTITIONS, WHOLE_NOTES, Changes, Lake, local_settings

ALL = frozenset(range(PARTITIONS))
START = Positions.start("notes", "id-1", PARTITIONS)


def writer(home: Path, now_ms: Callable[[], int] = wall_ms) -> LakeTable:
    table = LakeTable(open_catalog(local_settings(home)), WHOLE_NOTES, now_ms=now_ms)
    table.open()
    table.assign(ALL)
    return table


def test_a_table_opened_again_stages_nothing_until_its_keys_are_indexed(tmp_path: Path) -> None:
    changes, ours, theirs = Changes(WHOLE_NOTES), writer(tmp_path), writer(tmp_path)
    frame, end = changes.frame([(key, 1) for key in range(10)])
    held = theirs.commit(theirs.stage(frame), START, end)
    ours.open()
    frame, end = changes.frame([(key, 2) for key in range(10)])
    with pytest.raises(ServerTrouble, match="opened again since its keys were indexed"):
        ours.stage(frame)
    ours.assign(ALL)
    ours.commit(ours.stage(frame), held, end)
    assert ours.table.scan().to_arrow().num_rows == 10


def test_another_partitioning_is_refused(tmp_path: Path) -> None:
    catalog = open_catalog(local_settings(tmp_path))
    LakeTable(catalog, WHOLE_NOTES).open()
    by_month = replace(WHOLE_NOTES, partition_by=NOTES.partition_by)
    with pytest.raises(ContractRefused, match="partition-by was"):
        LakeTable(catalog, by_month).open()


def test_files_that_a_sweep_may_have_taken_for_orphans_are_staged_again(tmp_path: Path) -> None:
    now = [0]
    changes, ours = Changes(WHOLE_NOTES), writer(tmp_path, lambda: now[0])
    frame, end = changes.frame([(1, 1)])
    staged = ours.stage(frame)
    now[0] = MAX_UNCOMMITTED_MS + 1
    with pytest.raises(ServerTrouble, match="staging again"):
        ours.commit(staged, START, end)
    ours.commit(ours.stage(frame), START, end)
    assert ours.table.scan().to_arrow().num_rows == 1


@pytest.fixture
def compacted(tmp_path: Path) -> Lake:
    """A table that gives up what a compaction replaced at once."""
    lake = Lake(local_settings(tmp_path), WHOLE_NOTES)
    for value in range(6):
        lake.write(lake.writer(), [(key, value) for key in range(6)])
    lake.properties(grace_ms="0")
    with lake.writer().table.transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": "1"})
    return lake


def test_files_that_expire_while_a_writer_indexes_them_are_trouble_to_wait_out(compacted: Lake) -> None:
    late = compacted.writer()
    compacted.compact(compacted.job(now_ms=1 << 42))
    with pytest.raises(ServerTrouble, match=REINDEXING):
        late.assign(ALL)
    with pytest.raises(ServerTrouble, match="since its keys were indexed"):
        late.stage(compacted.changes.frame([])[0])
    late.open()
    late.assign(ALL)
    compacted.write(late, [(1, 9)])
    assert compacted.held() == compacted.model


def test_a_file_that_is_really_gone_stops_the_indexing(compacted: Lake) -> None:
    late = LakeTable(compacted.catalog, WHOLE_NOTES)
    late.open()
    (gone, *_) = [task.file.file_path for task in late.table.scan().plan_files()]
    late.table.io.delete(gone)
    with pytest.raises(FileNotFoundError, match=gone.rpartition("/")[2]):
        late.assign(ALL)
