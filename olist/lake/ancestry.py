"""Where a table stands: the positions that the ancestry of its branch ``main`` says.

Rows belong to a snapshot, so positions must too. Every commit of ours writes the full positions into its snapshot's
summary, and a table stands where the newest snapshot of main's ancestry says that carries them. The table property of
the same name is the highest ever committed. It stays where it was when another engine sets main to an older snapshot
(`rollback_to_snapshot`, `set_current_snapshot`, a branch that is replaced), so the two disagree from then on, for
whoever looks: that stops the table until `olist sink resolve` accepts the rows as they stand.

Where an expiry by another engine took that snapshot, the property is believed if what is left of main was built on it
(`CARRIER`). Snapshots of earlier versions carry only the ranges that they moved (`MOVED`): those are added to what an
older snapshot, or the audit of expired ones, says, and the property is believed where they agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

import msgspec
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, SetPropertiesUpdate

from olist.errors import PositionRefused, Stopped
from olist.positions import Positions

POSITIONS = "olist.positions"  # snapshot summary: where its rows stand; table property: the highest ever committed
MOVED = "olist.positions.moved"  # snapshot summary: partition -> [from, to) of this commit, for audit
CARRIER = "olist.positions.snapshot"  # table property: the id of the newest snapshot that carries positions
AUDITED = "olist.positions.audited"  # table property: partition -> the end of the ranges of expired snapshots
AUDITED_TO = f"{AUDITED}-to"  # table property: the sequence number of the newest snapshot in the audit

Ranges = Mapping[int, tuple[int, int]]  # topic partition -> [from, to)


def table_positions(table: Table, contract: str) -> Positions | None:
    """The positions of the rows on main, None before the first commit. `contract` is named in the way out.

    Raises:
        PositionRefused: main was set back, or the snapshots that say where it stands are gone.
        Stopped: the ranges of its commits do not follow each other.
    """
    stands, committed = rollback(table, contract)
    if stands is not None and committed is not None:
        raise _set_back(table, contract, stands, committed)
    return stands


def rollback(table: Table, contract: str) -> tuple[Positions | None, Positions | None]:
    """Where the rows on main stand, and how far they were once committed where that is further, else None.

    Raises:
        PositionRefused: the snapshots that say where it stands are gone.
        Stopped: the ranges of its commits do not follow each other.
    """
    metadata = table.metadata
    highest, stated = highest_positions(metadata), positions_of_main(metadata)
    if highest is None or (stated is not None and _covers(stated, highest)):
        return stated, None
    if stated is not None:
        return stated, highest
    if _is_built_on_carrier(metadata) or _nothing_against(metadata, highest):
        return highest, None
    raise _unknown(table, contract, highest)


def accept_rows(catalog: Catalog, table: Table, stands: Positions) -> None:
    """Let a table that was set back be committed from where its rows stand.

    Raises:
        CommitFailedException: main has moved meanwhile.
    """
    metadata, chain = table.metadata, list(ancestry(table.metadata))
    stated = {POSITIONS: stands.encode()}
    if carrier := next(filter(carries_positions, chain), None):
        stated[CARRIER] = str(carrier.snapshot_id)
    if AUDITED in metadata.properties and chain:
        stated |= {AUDITED: msgspec.json.encode(stands.next).decode(), AUDITED_TO: str(chain[0].sequence_number or 0)}
    head = chain[0].snapshot_id if chain else None
    requirements = AssertTableUUID(uuid=metadata.table_uuid), AssertRefSnapshotId(ref="main", snapshot_id=head)
    catalog.commit_table(table, requirements, (SetPropertiesUpdate(updates=stated),))


def positions_of_main(metadata: TableMetadata) -> Positions | None:
    """What main's ancestry says by itself; None where it says nothing, or not of all partitions.

    Raises:
        Stopped: the ranges of its commits do not follow each other.
    """
    above: list[Snapshot] = []
    for snapshot in ancestry(metadata):
        if text := _summary_property(snapshot, POSITIONS):
            base = Positions.decode(text)
            return msgspec.structs.replace(base, next=fold(base.next, map(ranges_of, reversed(above))))
        above.append(snapshot)
    highest = highest_positions(metadata)
    if highest is None or not above or (above[-1].sequence_number or 0) > 1:
        return None
    ends = fold({}, map(ranges_of, reversed(above)))
    return msgspec.structs.replace(highest, next=dict.fromkeys(highest.next, 0) | ends)


def highest_positions(metadata: TableMetadata) -> Positions | None:
    """The highest positions that were ever committed; None before the first commit."""
    text = metadata.properties.get(POSITIONS)
    return Positions.decode(text) if text else None


def carried_forward(metadata: TableMetadata) -> dict[str, str]:
    """What a commit that moves no position says in its summary, so that the head says where the table stands."""
    stated = positions_of_main(metadata)
    return {MOVED: "{}"} | ({POSITIONS: stated.encode()} if stated else {})


def ancestry(metadata: TableMetadata) -> Iterator[Snapshot]:
    """The snapshots of main from its head back, up to the first that has expired."""
    snapshot = metadata.snapshot_by_name("main")
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parent_snapshot_id
        snapshot = metadata.snapshot_by_id(parent) if parent is not None else None


def snapshots_since(metadata: TableMetadata, seen: int | None) -> list[Snapshot]:
    """The snapshots of main that are newer than one of its ancestors, newest first; all where that is not one."""
    return list(takewhile(lambda snapshot: snapshot.snapshot_id != seen, ancestry(metadata)))


def is_foreign(snapshot: Snapshot) -> bool:
    """Whether a snapshot is neither a sink's nor a compaction's."""
    return not _summary_property(snapshot, MOVED)


def carries_positions(snapshot: Snapshot) -> bool:
    """Whether a snapshot says where its rows stand."""
    return bool(_summary_property(snapshot, POSITIONS))


def ranges_of(snapshot: Snapshot) -> Ranges:
    """The positions that a commit moved."""
    text = _summary_property(snapshot, MOVED)
    return msgspec.json.decode(text, type=dict[int, tuple[int, int]]) if text else {}


def audited_of(metadata: TableMetadata) -> dict[int, int]:
    """What the table's property says of snapshots that have expired."""
    return msgspec.json.decode(metadata.properties.get(AUDITED, "{}"), type=dict[int, int])


def audited_before(metadata: TableMetadata, due: Sequence[Snapshot]) -> dict[int, int]:
    """The audit that snapshots `due`, oldest first, follow; empty where what lies between the two is not known.

    Another engine expires snapshots that were never folded: what they moved is no gap.
    """
    if not due:
        return audited_of(metadata)
    first, done = due[0], int(metadata.properties.get(AUDITED_TO, "0"))
    parent = metadata.snapshot_by_id(first.parent_snapshot_id) if first.parent_snapshot_id is not None else None
    before = (parent.sequence_number if parent else (first.sequence_number or 0) - 1) or 0
    return audited_of(metadata) if before == done else {}


def fold(audited: Mapping[int, int], moved: Iterable[Ranges]) -> dict[int, int]:
    """The ends of ranges with those of one commit after the other behind them.

    Raises:
        Stopped: two ranges of a partition overlap or leave a gap.
    """
    ends = dict(audited)
    for ranges in moved:
        for partition, (start, end) in ranges.items():
            if ends.get(partition, start) != start:
                raise Stopped(
                    f"positions of partition {partition}: a commit began at {start}, those before it end at "
                    f"{ends[partition]}; changes are {'lost' if start > ends[partition] else 'doubled'}",
                    hint="`olist check` shows which rows; `olist sink rebuild iceberg` reads the topic again",
                )
            ends[partition] = end
    return ends


def _summary_property(snapshot: Snapshot, name: str) -> str:
    return (snapshot.summary.get(name) if snapshot.summary else None) or ""


def _covers(stated: Positions, highest: Positions) -> bool:
    """Whether nothing that was ever committed is missing. Ahead of the property rows and positions still agree."""
    same_topic = stated.topic_id == highest.topic_id
    return same_topic and all(stated.next.get(p, 0) >= offset for p, offset in highest.next.items())


def _is_built_on_carrier(metadata: TableMetadata) -> bool:
    """Whether main was built by others on the newest snapshot that carried positions, which has expired since."""
    oldest = list(ancestry(metadata))[-1:]
    return bool(oldest) and str(oldest[0].parent_snapshot_id) == metadata.properties.get(CARRIER)


def _nothing_against(metadata: TableMetadata, highest: Positions) -> bool:
    """Whether a table of earlier versions, some of its snapshots expired, may be believed to stand at the property.

    Every range of main must lead to it, and no snapshot that main has left may have moved another partition.
    """
    chain = list(ancestry(metadata))
    if not chain or CARRIER in metadata.properties:
        return False
    audited_to = int(metadata.properties.get(AUDITED_TO, "0"))
    is_audited = audited_to <= (chain[0].sequence_number or 0)
    due = [s for s in reversed(chain) if not is_audited or (s.sequence_number or 0) > audited_to]
    audited = audited_before(metadata, due) if is_audited else {}
    ends = fold(audited, map(ranges_of, due))
    on_main = {snapshot.snapshot_id for snapshot in chain}
    left = {p for s in metadata.snapshots if s.snapshot_id not in on_main for p in ranges_of(s)}
    return all(ends[p] == offset if p in ends else p not in left for p, offset in highest.next.items())


def _unknown(table: Table, contract: str, highest: Positions) -> PositionRefused:
    return PositionRefused(
        f"lake table {table.name()[-1]}: none of the snapshots that led to {_head(table)} says where the table stands: "
        "another engine expired those that did, or set main back; the highest positions ever committed are "
        f"{highest.next}",
        hint=_undo(table, highest) + _rebuild(contract),
    )


def _set_back(table: Table, contract: str, stands: Positions, committed: Positions) -> PositionRefused:
    behind = {p: (stands.next.get(p, 0), end) for p, end in committed.next.items() if stands.next.get(p, 0) < end}
    return PositionRefused(
        f"lake table {table.name()[-1]}: another engine set main back to {_head(table)} (rollback_to_snapshot, "
        "set_current_snapshot or the like): its rows lack changes that were committed (partition: (rows stand at, "
        f"committed up to)): {behind}",
        hint=f"{_undo(table, committed)}to keep the rows as they are and read on from where they stand, "
        f"`olist sink resolve iceberg --tables {contract}`; {_rebuild(contract)}",
    )


def _head(table: Table) -> str:
    head = table.metadata.snapshot_by_name("main")
    return f"snapshot {head.snapshot_id}" if head else "no snapshot"


def _undo(table: Table, committed: Positions) -> str:
    kept = [s.snapshot_id for s in table.metadata.snapshots if _summary_property(s, POSITIONS) == committed.encode()]
    return f"to undo it, set main to snapshot {kept[-1]} again; " if kept else ""


def _rebuild(contract: str) -> str:
    return f"`olist sink rebuild iceberg --tables {contract}` reads the topic from its beginning"
