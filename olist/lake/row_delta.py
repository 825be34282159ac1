"""Iceberg commits that PyIceberg 0.12 has no public call for. The only module that uses its private names.

`MonotonicCatalog` keeps the times of commits in order.
`RowDelta` adds data files and position deletes together; `Replace` swaps files for others that hold the same rows.
Both are subclasses of its snapshot producer; tests/unit/test_row_delta.py breaks when an upgrade moves a name they
lean on. The compare-and-set of both is PyIceberg's requirement that ``main`` still is the snapshot they were made on.
There is no validation beyond it: what a conflict means is decided by the caller.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.table import StagedTable, Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update import AddSnapshotUpdate, RemoveSnapshotsUpdate, TableRequirement, TableUpdate
from pyiceberg.table.update.snapshot import _SnapshotProducer
from pyiceberg.typedef import EMPTY_DICT, Identifier

from olist.lake.manifests import Manifests

WRITTEN_VERSION = 2  # of the format; PyIceberg makes no manifests of a newer one
SNAPSHOT_UPDATES = AddSnapshotUpdate, RemoveSnapshotsUpdate
MOST_ENTRIES = 1000  # in a manifest that a rewrite writes; one with less than half of that is merged into another


class MonotonicCatalog(SqlCatalog):
    """A catalog whose tables' times never go back, whatever the clocks of their writers say.

    Java, Rust and Go refuse to read a table whose log of snapshots, or whose last update, goes back by a minute. So a
    snapshot is younger than all that was committed before it, and a commit without one is no older.
    """

    def _update_and_stage_table(
        self,
        current_table: Table | None,
        table_identifier: Identifier,
        requirements: tuple[TableRequirement, ...],
        updates: tuple[TableUpdate, ...],
    ) -> StagedTable:
        if current_table is None:
            return super()._update_and_stage_table(current_table, table_identifier, requirements, updates)
        if current_table.format_version > WRITTEN_VERSION and any(isinstance(u, SNAPSHOT_UPDATES) for u in updates):
            raise CommitFailedException("another engine has upgraded the table's format meanwhile")
        newest_ms = _newest_ms(current_table.metadata)
        updates = tuple(_younger_than(newest_ms, update) for update in updates)
        staged = super()._update_and_stage_table(current_table, table_identifier, requirements, updates)
        if staged.metadata.last_updated_ms < newest_ms:
            staged.metadata = staged.metadata.model_copy(update={"last_updated_ms": newest_ms})
        return staged


def _newest_ms(metadata: TableMetadata) -> int:
    return max([metadata.last_updated_ms, *(entry.timestamp_ms for entry in metadata.snapshot_log[-1:])])


def _younger_than(newest_ms: int, update: TableUpdate) -> TableUpdate:
    if not isinstance(update, AddSnapshotUpdate) or update.snapshot.timestamp_ms > newest_ms:
        return update
    snapshot = update.snapshot.model_copy(update={"timestamp_ms": newest_ms + 1})
    return update.model_copy(update={"snapshot": snapshot})


class OneCommit(Transaction):
    """A transaction that works out its metadata once per update instead of once per question.

    PyIceberg copies all of it, every snapshot included, each of the 17 times that a commit asks: most of its CPU.
    """

    _worked_out: tuple[object, object, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The table's metadata with the updates so far; not to be changed."""
        base, updates = self._table.metadata, self._updates  # both are replaced, never changed in place
        if not updates:
            return base
        known = self._worked_out
        if known is None or known[0] is not base or known[1] is not updates:
            known = self._worked_out = base, updates, super().table_metadata
        return known[2]


class _DeleteManifestWriter(ManifestWriterV2):
    """A manifest of delete files: the same entries under another heading."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Producer(_SnapshotProducer["_Producer"]):
    """What both commits share: manifests of either kind, and a summary that counts delete files too."""

    def _writer(self, content: ManifestContent, spec_id: int) -> ManifestWriter:
        spec = self.spec(spec_id)
        if content == ManifestContent.DATA:
            return self.new_manifest_writer(spec)
        output = self.new_manifest_output()
        return _DeleteManifestWriter(spec, self.schema(), output, self._snapshot_id, self._compression)

    def _deleted_entries(self) -> list[ManifestEntry]:
        return []

    def _existing_manifests(self) -> list[ManifestFile]:
        parent = self._parent_snapshot_id
        snapshot = self._transaction.table_metadata.snapshot_by_id(parent) if parent is not None else None
        return snapshot.manifests(self._io) if snapshot else []

    def _added(self, data_file: DataFile) -> ManifestEntry:
        return ManifestEntry.from_args(
            status=ManifestEntryStatus.ADDED,
            snapshot_id=self._snapshot_id,
            sequence_number=None,
            file_sequence_number=None,
            data_file=data_file,
        )

    def _summary_of(
        self, added: Iterable[DataFile], removed: Iterable[DataFile], properties: dict[str, str]
    ) -> Summary:
        kept = self._added_data_files, self._deleted_data_files
        self._added_data_files, self._deleted_data_files = list(added), set(removed)
        try:
            return super()._summary(properties)
        finally:
            self._added_data_files, self._deleted_data_files = kept


class RowDelta(_Producer):
    """Adds data files and position-delete files in one snapshot."""

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

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        return [*self._write_delete_files_manifest(), *manifests]

    def _write_delete_files_manifest(self) -> list[ManifestFile]:
        by_spec: dict[int, list[DataFile]] = defaultdict(list)
        for delete_file in self._delete_files:
            by_spec[delete_file.spec_id].append(delete_file)
        return [self._write_delete_manifest(spec_id, files) for spec_id, files in by_spec.items()]

    def _write_delete_manifest(self, spec_id: int, files: Sequence[DataFile]) -> ManifestFile:
        with self._writer(ManifestContent.DELETES, spec_id) as writer:
            for delete_file in files:
                writer.add(self._added(delete_file))
        return writer.to_manifest_file()

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        added = [*self._added_data_files, *self._delete_files]
        return self._summary_of(added, (), snapshot_properties)


_Heading = tuple[ManifestContent, int]  # content and partition spec: what a manifest has one of


class Replace(_Producer):
    """Removes files and adds others that hold the same live rows, in one snapshot of operation ``replace``.

    `added` and `removed` are data files and delete files alike. Every removed file must be live in the head. Files that
    stay keep their sequence numbers; small manifests are merged on the way, so that their number stays bounded. A file
    that stays and is in `restated`, by path, is listed as that says.
    """

    def __init__(
        self,
        transaction: Transaction,
        manifests: Manifests,
        added: Sequence[DataFile],
        removed: Collection[DataFile],
        snapshot_properties: dict[str, str],
        restated: Mapping[str, DataFile] | None = None,
    ) -> None:
        super().__init__(Operation.REPLACE, transaction, transaction._table.io, snapshot_properties=snapshot_properties)
        self._restated = restated or {}
        self._manifest_reader, self._added_files, self._removed_files = manifests, added, set(removed)

    def _manifests(self) -> list[ManifestFile]:
        gone = {file.file_path for file in self._removed_files}
        kept: list[ManifestFile] = []
        entries: dict[_Heading, list[ManifestEntry]] = defaultdict(list)
        for file in self._added_files:
            content = ManifestContent.DATA if file.content == DataFileContent.DATA else ManifestContent.DELETES
            entries[content, file.spec_id].append(self._added(file))
        for manifest in self._existing_manifests():
            live = self._manifest_reader.live(manifest)
            changed = gone | self._restated.keys()
            if len(live) >= MOST_ENTRIES // 2 and not any(e.data_file.file_path in changed for e in live):
                kept.append(manifest)
            else:
                entries[manifest.content, manifest.partition_spec_id] += map(self._as_restated, live)
        return [written for heading, of in entries.items() for written in self._write(heading, of, gone)] + kept

    def _as_restated(self, entry: ManifestEntry) -> ManifestEntry:
        restated = self._restated.get(entry.data_file.file_path)
        if restated is None:
            return entry
        return ManifestEntry.from_args(
            status=entry.status,
            snapshot_id=entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=restated,
        )

    def _write(
        self, heading: _Heading, entries: Sequence[ManifestEntry], gone: Collection[str]
    ) -> Iterator[ManifestFile]:
        for start in range(0, len(entries), MOST_ENTRIES):
            with self._writer(*heading) as writer:
                for entry in entries[start : start + MOST_ENTRIES]:
                    if entry.data_file.file_path in gone:
                        writer.delete(entry)
                    elif entry.sequence_number is None:
                        writer.add(entry)
                    else:
                        writer.existing(entry)
            yield writer.to_manifest_file()

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        self._operation = Operation.OVERWRITE  # PyIceberg counts totals for the operations that it makes itself
        summary = self._summary_of(self._added_files, self._removed_files, snapshot_properties)
        return Summary(Operation.REPLACE, **summary.additional_properties)
