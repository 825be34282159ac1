"""What a snapshot holds: its live data files and delete files, read from its manifests.

A manifest never changes under its name, so each is read once and kept while some snapshot of interest refers to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFileContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table.snapshots import Snapshot


@dataclass(frozen=True)
class Contents:
    """Live files by path, each with its sequence number."""

    data: dict[str, ManifestEntry] = field(default_factory=dict)
    deletes: dict[str, ManifestEntry] = field(default_factory=dict)

    @property
    def paths(self) -> set[str]:
        """Every live file."""
        return {*self.data, *self.deletes}


class Manifests:
    """Reads manifests, each once."""

    def __init__(self, io: FileIO) -> None:
        self._io = io
        self._lists: dict[int, list[ManifestFile]] = {}  # by snapshot
        self._read: dict[str, Sequence[ManifestEntry]] = {}  # by path

    def of(self, snapshot: Snapshot | None) -> list[ManifestFile]:
        """A snapshot's manifests; none for a table without a snapshot."""
        if snapshot is None:
            return []
        found = self._lists.get(snapshot.snapshot_id)
        if found is None:
            found = self._lists[snapshot.snapshot_id] = snapshot.manifests(self._io)
        return found

    def entries(self, manifest: ManifestFile) -> Sequence[ManifestEntry]:
        """A manifest's entries, those of removed files included."""
        found = self._read.get(manifest.manifest_path)
        if found is None:
            found = manifest.fetch_manifest_entry(self._io, discard_deleted=False)
            self._read[manifest.manifest_path] = found
        return found

    def live(self, manifest: ManifestFile) -> list[ManifestEntry]:
        """A manifest's entries of files that are there."""
        return [entry for entry in self.entries(manifest) if entry.status != ManifestEntryStatus.DELETED]

    def contents(self, snapshot: Snapshot | None) -> Contents:
        """The live files of a snapshot."""
        found = Contents()
        for manifest in self.of(snapshot):
            for entry in self.live(manifest):
                is_data = entry.data_file.content == DataFileContent.DATA
                (found.data if is_data else found.deletes)[entry.data_file.file_path] = entry
        return found

    def keep(self, snapshots: Iterable[Snapshot]) -> None:
        """Forget what was read of all snapshots but these."""
        self._lists = {snapshot.snapshot_id: self.of(snapshot) for snapshot in snapshots}
        paths = {manifest.manifest_path for of in self._lists.values() for manifest in of}
        self._read = {path: entries for path, entries in self._read.items() if path in paths}
