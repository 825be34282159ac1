"""Expire snapshots by age and count, and find the files that only they used.

Kept are the last snapshots of every branch (by ``history.expire.*`` of the table, or of the branch where it says its
own), every tag, every branch's head, and main back to the newest snapshot that says where the table stands. What an
expired snapshot said of positions is folded into the table property `AUDITED` in the same commit: partition -> the
offset up to which ranges were seen to follow each other without gap or overlap. So `AUDITED` and the ranges of the
snapshots after `AUDITED_TO` always add up to the table's positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import (
    AssertTableUUID,
    RemoveSnapshotsUpdate,
    SetPropertiesUpdate,
    ValidatableTableRequirement,
)

from compaction.options import Retention
from compaction.storage import canonical
from olist.lake.ancestry import AUDITED, AUDITED_TO, ancestry, audited_before, carries_positions, fold, ranges_of
from olist.lake.manifests import Manifests
from olist.lake.row_moves import MOVES


def expired(metadata: TableMetadata, retention: Retention, now_ms: int) -> list[Snapshot]:
    """The snapshots that may go, oldest first."""
    young = {s.snapshot_id for s in metadata.snapshots if s.timestamp_ms >= now_ms - retention.max_age_ms}
    on_branches: set[int] = set()
    kept = {ref.snapshot_id for ref in metadata.refs.values()}
    for ref in metadata.refs.values():
        if ref.snapshot_ref_type == SnapshotRefType.BRANCH:
            chain = list(_ancestors(metadata, ref.snapshot_id))
            on_branches |= {snapshot.snapshot_id for snapshot in chain}
            kept |= {snapshot.snapshot_id for snapshot in _kept_of(chain, ref, retention, now_ms)}
    kept |= young - on_branches  # rolled back a moment ago
    kept |= _positioned(metadata)
    gone = [snapshot for snapshot in metadata.snapshots if snapshot.snapshot_id not in kept]
    return sorted(gone, key=lambda snapshot: snapshot.sequence_number or 0)


def _positioned(metadata: TableMetadata) -> set[int]:
    """Main's snapshots back to the newest that carries positions: without it nobody knows where the table stands."""
    chain = list(ancestry(metadata))
    for number, snapshot in enumerate(chain):
        if carries_positions(snapshot):
            return {one.snapshot_id for one in chain[: number + 1]}
    return set()


def _kept_of(chain: list[Snapshot], ref: SnapshotRef, retention: Retention, now_ms: int) -> Iterator[Snapshot]:
    """The snapshots of one branch that stay; `chain` has its newest first."""
    least = retention.min_snapshots if ref.min_snapshots_to_keep is None else ref.min_snapshots_to_keep
    age_ms = retention.max_age_ms if ref.max_snapshot_age_ms is None else ref.max_snapshot_age_ms
    for number, snapshot in enumerate(chain):
        if number < least or snapshot.timestamp_ms >= now_ms - age_ms:
            yield snapshot


def _ancestors(metadata: TableMetadata, snapshot_id: int | None) -> Iterator[Snapshot]:
    while snapshot_id is not None and (snapshot := metadata.snapshot_by_id(snapshot_id)) is not None:
        yield snapshot
        snapshot_id = snapshot.parent_snapshot_id


def audit(metadata: TableMetadata, gone: Iterable[Snapshot]) -> tuple[dict[int, int], int]:
    """The audit with everything behind it up to the newest snapshot that goes, and that one's sequence number.

    Snapshots in between that stay (a tag holds them) are folded as well, and never again. Where another engine has
    expired snapshots that were not folded yet, the audit restarts with the oldest that is left: what is not known is
    no gap.

    Raises:
        Stopped: their ranges do not follow each other.
    """
    ids = {snapshot.snapshot_id for snapshot in gone}
    main, done = metadata.snapshot_by_name("main"), int(metadata.properties.get(AUDITED_TO, "0"))
    trunk = list(_ancestors(metadata, main.snapshot_id if main else None))
    to = max([done, *(s.sequence_number or 0 for s in trunk if s.snapshot_id in ids)])
    due = [snapshot for snapshot in reversed(trunk) if done < (snapshot.sequence_number or 0) <= to]
    return fold(audited_before(metadata, due), map(ranges_of, due)), to


def only_used_by(gone: Iterable[Snapshot], metadata: TableMetadata, manifests: Manifests) -> set[str]:
    """Files of these snapshots that no other of the table's snapshots refers to: lists, manifests, data, moves."""
    gone = list(gone)
    ids = {snapshot.snapshot_id for snapshot in gone}
    used = references([s for s in metadata.snapshots if s.snapshot_id not in ids], manifests)
    return unused(references(gone, manifests, removed_too=True), used)


def unused(paths: Iterable[str], used: Iterable[str]) -> set[str]:
    """Those of `paths` that are none of `used`, however each is spelled."""
    used = set(map(canonical, used))
    return {path for path in paths if canonical(path) not in used}


def references(snapshots: Iterable[Snapshot], manifests: Manifests, *, removed_too: bool = False) -> set[str]:
    """Every file that snapshots refer to; `removed_too`: those also that their manifests list as removed."""
    found: set[str] = set()
    seen: set[str] = set()
    for snapshot in snapshots:
        found.add(snapshot.manifest_list)
        if snapshot.summary and (moves := snapshot.summary.get(MOVES)):
            found.add(moves)
        for manifest in manifests.of(snapshot):
            if manifest.manifest_path not in seen:
                seen.add(manifest.manifest_path)
                entries = manifests.entries(manifest) if removed_too else manifests.live(manifest)
                found.update(entry.data_file.file_path for entry in entries)
    return found | seen


class _NothingPointsAt(ValidatableTableRequirement):
    """The catalog's newest metadata still has these snapshots, and no branch or tag was put on one of them."""

    type: str = "nothing-points-at"
    snapshot_ids: list[int]

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]  # shadows pydantic's
        """As PyIceberg's own requirements.

        Raises:
            CommitFailedException: one is gone, or named.
        """
        there = {snapshot.snapshot_id for snapshot in base_metadata.snapshots} if base_metadata else set()
        pointed_at = {ref.snapshot_id for ref in base_metadata.refs.values()} if base_metadata else set()
        if not there.issuperset(self.snapshot_ids) or pointed_at.intersection(self.snapshot_ids):
            raise CommitFailedException("another process expired or named these snapshots meanwhile")


@dataclass(frozen=True)
class Expiry:
    """Removes snapshots from a table's metadata. Their files stay: see `compaction.deferred_deletes`."""

    catalog: SqlCatalog

    def commit(self, table: Table, gone: list[Snapshot], audited: Mapping[int, int], to: int) -> None:
        """Remove the snapshots, with what `audit` found of them.

        Raises:
            CommitFailedException: the table has changed; look again.
        """
        metadata = table.metadata
        ids = [snapshot.snapshot_id for snapshot in gone]
        self.catalog.commit_table(
            table,
            (AssertTableUUID(uuid=metadata.table_uuid), _NothingPointsAt(snapshot_ids=ids)),  # type: ignore[arg-type]
            (
                RemoveSnapshotsUpdate(snapshot_ids=ids),
                SetPropertiesUpdate(updates={AUDITED: msgspec.json.encode(audited).decode(), AUDITED_TO: str(to)}),
            ),
        )
