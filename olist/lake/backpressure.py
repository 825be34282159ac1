"""Back-pressure: how long commits stay away from a table that compaction does not keep up with.

Fewer, larger commits carry the same changes with fewer files and snapshots, so that readers keep up.
"""

from __future__ import annotations

from pyiceberg.table.metadata import TableMetadata

MOST_FILES, DEFAULT_MOST_FILES = "olist.pressure.max-files", 5_000  # data files and delete files
MOST_SNAPSHOTS, DEFAULT_MOST_SNAPSHOTS = "olist.pressure.max-snapshots", 1_000
LONGEST_PAUSE_S = 10.0  # well inside a sink's patience


def pause_s(files: int, snapshots: int, most_files: int, most_snapshots: int) -> float:
    """Seconds to wait: nothing up to the bounds, then in proportion, `LONGEST_PAUSE_S` from twice a bound on."""
    load = max(files / most_files, snapshots / most_snapshots)
    return min(max(load - 1, 0.0), 1.0) * LONGEST_PAUSE_S


def table_pause_s(metadata: TableMetadata) -> float:
    """As `pause_s`, for a table with the bounds of its own properties."""
    head = metadata.snapshot_by_name("main")
    summary = head.summary if head else None
    counts = [int(summary.get(f"total-{kind}-files") or 0) for kind in ("data", "delete")] if summary else [0]
    properties = metadata.properties
    most_files = int(properties.get(MOST_FILES, DEFAULT_MOST_FILES))
    most_snapshots = int(properties.get(MOST_SNAPSHOTS, DEFAULT_MOST_SNAPSHOTS))
    return pause_s(sum(counts), len(metadata.snapshots), most_files, most_snapshots)
