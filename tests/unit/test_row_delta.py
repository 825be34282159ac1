"""The private names of PyIceberg that the lake leans on: an upgrade that moves one breaks here, not in a commit."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestWriterV2
from pyiceberg.table import Table, Transaction
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import snapshot as updates
from pyiceberg.table.update.snapshot import _SnapshotProducer

from olist.lake.catalog import identifier
from olist.lake.row_delta import MonotonicCatalog, _DeleteManifestWriter
from tests.lakes import WHOLE_NOTES, Lake, local_settings

OVERRIDDEN = ("_manifests", "_summary", "_deleted_entries", "_existing_manifests", "_process_manifests")
CALLED = ("new_manifest_writer", "new_manifest_output", "append_data_file", "spec", "schema", "commit", "_commit")
SET_BY_THE_CONSTRUCTOR = (
    "_transaction",
    "_io",
    "_operation",
    "_snapshot_id",
    "_parent_snapshot_id",
    "_added_data_files",
    "_deleted_data_files",
    "_compression",
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(local_settings(tmp_path), WHOLE_NOTES)


def entries(table: Table) -> list[tuple[ManifestContent, ManifestEntry]]:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return [
        (manifest.content, entry)
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
    ]


@pytest.mark.parametrize("name", OVERRIDDEN + CALLED)
def test_the_snapshot_producer_has_every_method_that_is_called_or_overridden(name: str) -> None:
    assert callable(getattr(_SnapshotProducer, name, None)), f"pyiceberg has no _SnapshotProducer.{name} any more"


def test_the_snapshot_producer_sets_every_field_that_is_used() -> None:
    source = inspect.getsource(_SnapshotProducer.__init__)
    missing = [name for name in SET_BY_THE_CONSTRUCTOR if f"self.{name} =" not in source]
    assert missing in ([], ["_transaction"]), f"pyiceberg sets {missing} no more"


def test_a_commit_still_writes_what_the_overridden_methods_return() -> None:
    body = inspect.getsource(_SnapshotProducer._commit)
    assert "self._manifests()" in body
    assert "self._summary(self.snapshot_properties)" in body
    assert "AssertRefSnapshotId" in body, "the compare-and-set on the head"


def test_the_transaction_keeps_its_table_and_cleans_up_after_a_lost_commit_only() -> None:
    assert "_table" in inspect.getsource(Transaction.__init__)
    assert "(CommitFailedException, ValidationException)" in inspect.getsource(Transaction.commit_transaction)
    assert hasattr(updates._SnapshotProducer, "_clean_all_uncommitted")


def test_the_manifest_writer_has_the_heading_that_delete_manifests_change() -> None:
    assert isinstance(inspect.getattr_static(ManifestWriterV2, "_meta"), property)
    assert _DeleteManifestWriter.content.__qualname__ != ManifestWriterV2.content.__qualname__


def test_the_catalog_still_makes_every_commits_metadata_in_one_method() -> None:
    assert "self._update_and_stage_table(" in inspect.getsource(SqlCatalog.commit_table)
    assert list(inspect.signature(SqlCatalog._update_and_stage_table).parameters) == list(
        inspect.signature(MonotonicCatalog._update_and_stage_table).parameters
    )


def test_a_row_delta_lists_its_delete_file_in_a_manifest_of_deletes(lake: Lake) -> None:
    writer = lake.writer()
    lake.write(writer, [(1, 1), (2, 2)])
    lake.write(writer, [(1, 3)])
    found = [(content, entry.status) for content, entry in entries(writer.table)]
    assert sorted(found, key=str) == [
        (ManifestContent.DATA, ManifestEntryStatus.ADDED),
        (ManifestContent.DATA, ManifestEntryStatus.ADDED),
        (ManifestContent.DELETES, ManifestEntryStatus.ADDED),
    ]
    snapshot = writer.table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.operation == Operation.OVERWRITE
    assert snapshot.summary["total-position-deletes"] == "1"


def test_a_replace_keeps_the_sequence_numbers_of_files_that_stay(lake: Lake) -> None:
    writer = lake.writer()
    for value in range(6):
        lake.write(writer, [(key, value) for key in range(value * 10, value * 10 + 10)])
    lake.write(writer, [(1, 7)])  # one large file in all but name: it is no part of the next group
    keep = max(entries(writer.table), key=lambda found: found[1].sequence_number or 0)[1].data_file.file_path
    before = {e.data_file.file_path: e.sequence_number for _content, e in entries(writer.table)}
    two_files = int(2.5 * max(e.data_file.file_size_in_bytes for _content, e in entries(writer.table)))
    lake.properties(max_file_group_size_bytes=str(two_files))
    lake.properties(max_run_bytes="1")
    lake.compact()
    after = lake.catalog.load_table(identifier("whole_notes"))
    stayed = {e.data_file.file_path: e for _c, e in entries(after) if e.status == ManifestEntryStatus.EXISTING}
    assert stayed
    assert keep in before
    assert {path: entry.sequence_number for path, entry in stayed.items()} == {path: before[path] for path in stayed}
    gone = [e for _c, e in entries(after) if e.status == ManifestEntryStatus.DELETED]
    assert {entry.data_file.file_path for entry in gone} == before.keys() - stayed.keys()
    assert lake.held() == lake.model
