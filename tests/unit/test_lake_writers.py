from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from olist.errors import ContractRefused, ServerTrouble
from olist.lake.catalog import open_catalog
from olist.lake.table import LakeTable
from olist.positions import Positions
from tests.lakes import NOTES, PARTITIONS, WHOLE_NOTES, Changes, local_settings

ALL = frozenset(range(PARTITIONS))
START = Positions.start("notes", "id-1", PARTITIONS)


def writer(home: Path) -> LakeTable:
    table = LakeTable(open_catalog(local_settings(home)), WHOLE_NOTES)
    table.open()
    table.own(ALL)
    return table


def test_a_table_opened_anew_stages_nothing_until_its_keys_are_indexed(tmp_path: Path) -> None:
    changes, ours, theirs = Changes(WHOLE_NOTES), writer(tmp_path), writer(tmp_path)
    frame, end = changes.frame([(key, 1) for key in range(10)])
    held = theirs.commit(theirs.stage(frame), START, end)
    ours.open()
    frame, end = changes.frame([(key, 2) for key in range(10)])
    with pytest.raises(ServerTrouble, match="opened anew since its keys were indexed"):
        ours.stage(frame)
    ours.own(ALL)
    ours.commit(ours.stage(frame), held, end)
    assert ours.table.scan().to_arrow().num_rows == 10


def test_another_partitioning_is_refused(tmp_path: Path) -> None:
    catalog = open_catalog(local_settings(tmp_path))
    LakeTable(catalog, WHOLE_NOTES).open()
    by_month = replace(WHOLE_NOTES, partition_by=NOTES.partition_by)
    with pytest.raises(ContractRefused, match="partition-by was"):
        LakeTable(catalog, by_month).open()
