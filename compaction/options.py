"""When a table is worth compacting: table properties, with the names and defaults of Iceberg's own where it has one.

Iceberg gives its rewrite's settings to the action, not to the table; here they are properties with `PREFIX` before
Iceberg's name. Source: Iceberg 1.12, `RewriteDataFiles`, `SizeBasedFileRewritePlanner`, `BinPackRewriteFilePlanner`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "olist.compaction."
MB = 1 << 20


@dataclass(frozen=True)
class Thresholds:
    """Sizes in bytes, ages in milliseconds.

    The last four are not Iceberg's. `min_delete_files` asks for fewer, larger delete files per lake partition. A file
    joins a group only while it is at most `tier_ratio` times as large as all smaller ones together (or below
    `tier_floor`), so that a byte is rewritten a few times on its way to the target size and not once per run.
    `max_run` bounds one run of one table. Two are no properties but follow the memory: `max_delete_rows` bounds the
    deletes that are merged at once, `max_group_rows` the rows of a group, whose new locations are kept in memory.
    """

    target_file_size: int = 512 * MB
    min_file_size: int = 384 * MB
    max_file_size: int = 512 * MB * 9 // 5
    min_input_files: int = 5
    max_file_group_size: int = 100 * 1024 * MB
    delete_ratio: float = 0.3
    delete_files_per_file: int = (1 << 31) - 1
    min_delete_files: int = 5
    tier_ratio: float = 1.0
    tier_floor: int = 8 * MB
    max_run: int = 100 * 1024 * MB
    max_delete_rows: int = (1 << 31) - 1
    max_group_rows: int = (1 << 31) - 1

    @property
    def row_size(self) -> int:
        """The least that a row of a group counts for, in bytes."""
        return self.max_file_group_size // self.max_group_rows


@dataclass(frozen=True)
class Retention:
    """Which snapshots stay. `max_age_ms` and `min_snapshots` are Iceberg's ``history.expire`` properties.

    `grace_ms`: how long the files of an expired snapshot stay for readers that planned on it. A snapshot costs each
    commit a millisecond, a file its room: so the one goes in a minute, the other after the longest query.
    """

    max_age_ms: int = 60_000
    min_snapshots: int = 20
    grace_ms: int = 4 * 3_600_000


def thresholds(properties: Mapping[str, str]) -> Thresholds:
    """A table's thresholds; minimum and maximum follow the target as Iceberg's do (75 % and 180 %)."""

    def of(name: str, default: float) -> float:
        return float(properties.get(PREFIX + name, default))

    usual = Thresholds()
    target = int(properties.get("write.target-file-size-bytes", usual.target_file_size))
    return Thresholds(
        target_file_size=target,
        min_file_size=int(of("min-file-size-bytes", int(target * 0.75))),
        max_file_size=int(of("max-file-size-bytes", int(target * 1.8))),
        min_input_files=int(of("min-input-files", usual.min_input_files)),
        max_file_group_size=int(of("max-file-group-size-bytes", usual.max_file_group_size)),
        delete_ratio=of("delete-ratio-threshold", usual.delete_ratio),
        delete_files_per_file=int(of("delete-file-threshold", usual.delete_files_per_file)),
        min_delete_files=int(of("min-delete-files", usual.min_delete_files)),
        tier_ratio=of("tier-ratio", usual.tier_ratio),
        tier_floor=int(of("tier-floor-bytes", usual.tier_floor)),
        max_run=int(of("max-run-bytes", usual.max_run)),
    )


def retention(properties: Mapping[str, str]) -> Retention:
    """How long a table's snapshots and their files stay."""
    usual = Retention()
    return Retention(
        max_age_ms=int(properties.get("history.expire.max-snapshot-age-ms", usual.max_age_ms)),
        min_snapshots=int(properties.get("history.expire.min-snapshots-to-keep", usual.min_snapshots)),
        grace_ms=int(properties.get(PREFIX + "grace-ms", usual.grace_ms)),
    )


def may_delete(properties: Mapping[str, str]) -> bool:
    """Whether files of the table may be deleted: Iceberg's ``gc.enabled``, for tables that share files with others."""
    return properties.get("gc.enabled", "true").strip().lower() != "false"
