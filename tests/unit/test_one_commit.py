from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from pyiceberg.table import Transaction

from olist.lake.row_delta import OneCommit
from tests.lakes import WHOLE_NOTES, Lake, local_settings


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(local_settings(tmp_path), WHOLE_NOTES)


def test_the_metadata_is_worked_out_once_per_update_and_says_what_pyiceberg_says(lake: Lake) -> None:
    table = lake.writer().table
    ours, theirs = OneCommit(table), Transaction(table)
    assert ours.table_metadata == theirs.table_metadata
    for properties in ({"a": "1"}, {"b": "2"}):
        ours.set_properties(properties)
        theirs.set_properties(properties)
        assert ours.table_metadata is ours.table_metadata
        assert ours.table_metadata.properties == theirs.table_metadata.properties
        assert ours.table_metadata.snapshots == theirs.table_metadata.snapshots
    assert "a" not in table.properties


def test_a_transaction_still_replaces_its_updates_and_works_its_metadata_out_of_them() -> None:
    assert "self._updates += updates" in inspect.getsource(Transaction._stage)
    assert "self._updates = ()" in inspect.getsource(Transaction.__init__)
    assert "update_table_metadata(self._table.metadata, self._updates)" in inspect.getsource(
        Transaction.table_metadata.fget  # type: ignore[attr-defined]
    )
