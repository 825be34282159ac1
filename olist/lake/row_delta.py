"""One Iceberg commit that adds data files and position deletes together. The only module that uses private names.

PyIceberg 0.12 writes position deletes by no public call. This subclass of its snapshot producer adds a second manifest
whose content is DELETES; tests/unit/test_row_delta.py breaks when an upgrade moves a name it leans on.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyiceberg.manifest import (
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _SnapshotProducer
from pyiceberg.typedef import EMPTY_DICT


class _DeleteManifestWriter(ManifestWriterV2):
    """A manifest of delete files: the same entries under another heading."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class RowDelta(_SnapshotProducer["RowDelta"]):
    """Adds data files and position-delete files in one snapshot.

    The compare-and-set is PyIceberg's requirement that ``main`` still is the snapshot this delta was made on. There is
    no validation beyond it: what a conflict means is decided by the caller.
    """

    def __init__(
        self,
        transaction: Transaction,
        data_files: Sequence[DataFile],
        delete_files: Sequence[DataFile],
        snapshot_properties: dict[str, str],
    ) -> None:
        super().__init__(
            Operation.OVERWRITE if delete_files else Operation.APPEND,
            transaction,
            transaction._table.io,
            snapshot_properties=snapshot_properties,
        )
        self._delete_files = list(delete_files)
        for data_file in data_files:
            self.append_data_file(data_file)

    def _deleted_entries(self) -> list[ManifestEntry]:
        return []

    def _existing_manifests(self) -> list[ManifestFile]:
        parent = self._parent_snapshot_id
        snapshot = self._transaction.table_metadata.snapshot_by_id(parent) if parent is not None else None
        return snapshot.manifests(self._io) if snapshot else []

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        return [*self._write_delete_files_manifest(), *manifests]

    def _write_delete_files_manifest(self) -> list[ManifestFile]:
        if not self._delete_files:
            return []
        metadata = self._transaction.table_metadata
        output = self.new_manifest_output()
        with _DeleteManifestWriter(
            metadata.spec(), self.schema(), output, self._snapshot_id, self._compression
        ) as writer:
            for delete_file in self._delete_files:
                writer.add(_added(delete_file, self._snapshot_id))
        return [writer.to_manifest_file()]

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        data_files = self._added_data_files
        self._added_data_files = [*data_files, *self._delete_files]
        try:
            return super()._summary(snapshot_properties)
        finally:
            self._added_data_files = data_files


def _added(data_file: DataFile, snapshot_id: int) -> ManifestEntry:
    return ManifestEntry.from_args(
        status=ManifestEntryStatus.ADDED,
        snapshot_id=snapshot_id,
        sequence_number=None,
        file_sequence_number=None,
        data_file=data_file,
    )
