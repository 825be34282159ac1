"""One run over one table: plan, rewrite and commit group by group, merge delete files, expire, delete what is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from compaction import bounds
from compaction.commit import CommitAbandoned, Committer, FileChange, merge_delete_files
from compaction.deferred_deletes import defer_delete, delete_due, due_deletes
from compaction.expire import Expiry, audit, expired, only_used_by
from compaction.options import Thresholds, may_delete, retention, thresholds
from compaction.plan import DeleteGroup, Group, plan, plan_deletes, together
from compaction.report import Report
from compaction.rewrite import Budget, RewriteTask, rewrite
from compaction.storage import discard
from compaction.table_stats import LakePartition, Reader, TableStats, observe, refuse_uncompactable
from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Contract
from olist.lake.ancestry import table_positions
from olist.lake.catalog import identifier
from olist.lake.errors import lake_errors
from olist.lake.files import wall_ms
from olist.lake.live_rows import live_rows
from olist.lake.manifests import Contents
from olist.lake.writable import refuse_format, refuse_unwritable
from olist.settings import Settings

log = structlog.get_logger()

COMMIT_BYTES = 64 << 20  # small groups share a commit, so that writers meet fewer
SCAN_EVERY_MS = 60_000  # a scan is timed by reading the table, so not with every run
MOST_MERGES = 10  # commits of merged delete files in one run; the rest waits for the next
GROUP_PER_MEMORY = 4  # bytes of a group, compressed, per byte of memory: bounds the runs of a sort


@dataclass(frozen=True)
class Environment:
    """What every job works with. `scan_up_to`: the largest table, in bytes, whose scan is timed for the report."""

    catalog: SqlCatalog
    settings: Settings
    budget: Budget
    stopping: Callable[[], bool] = lambda: False
    now_ms: Callable[[], int] = wall_ms
    scan_up_to: int = 64 << 20


@dataclass(frozen=True)
class CompactionPlan:
    """What a run would do."""

    groups: list[Group]
    deletes: list[DeleteGroup]


class Job:
    """Compacts one lake table, as often as asked; remembers what never changes between runs."""

    def __init__(self, env: Environment, contract: Contract, *, history: bool = False) -> None:
        self.env, self.contract, self.history = env, contract, history
        self.name = f"{contract.table}_changes" if history else contract.table
        # A history is read by time of change; current rows by what the contract says.
        self.sort_by = (COMMITTED_AT, PARTITION, OFFSET) if history else contract.sort_by
        self._reader: tuple[Any, Reader] | None = None
        self._scanned_ms = 0

    def load(self) -> Table | None:
        """The table as it is now, or None where the sink has not made it yet."""
        with lake_errors():
            try:
                return self.env.catalog.load_table(identifier(self.name))
            except NoSuchTableError:
                return None

    def release(self) -> None:
        """Let go of deleted rows that were kept for commits that are tried again: other tables want the memory."""
        if self._reader is not None:
            self._reader[1].delete_files.release()

    def plan(self, table: Table, contents: Contents) -> CompactionPlan:
        """What is worth doing to the table.

        Raises:
            ContractRefused: another engine has made it into a table that sinks do not write.
            NotCompacted: it holds what compaction does not handle.
        """
        with lake_errors():
            refuse_unwritable(table, self.contract, history=self.history)
        refuse_uncompactable(table, contents)
        reader, limits = self.reader(table), self._limits(table)
        with lake_errors():
            groups = plan(reader.data_file_stats(contents), limits)
            return CompactionPlan(groups, plan_deletes(reader.delete_file_stats(contents), limits))

    def is_due(self, table: Table) -> bool:
        """Whether a run would find something to do: files, deletes, snapshots, due deletes."""
        with lake_errors():
            planned = self.plan(table, self.reader(table).contents(table))
            return bool(
                planned.groups
                or planned.deletes
                or self._has_wrong_bounds(table)
                or self.expired(table)
                or due_deletes(table, self.env.settings, self.env.now_ms())
            )

    def _has_wrong_bounds(self, table: Table) -> bool:
        reader = self.reader(table)
        contents = reader.contents(table)
        return bool(bounds.suspects(table, contents) or any(bounds.cut_deletes(contents, reader)))

    def expired(self, table: Table) -> list[Snapshot]:
        """The snapshots that a run would remove: as with Iceberg's own expiry none where ``gc.enabled=false``."""
        if not may_delete(table.properties):
            return []
        return expired(table.metadata, retention(table.properties), self.env.now_ms())

    def reader(self, table: Table) -> Reader:
        """The reader of this very table: one that was dropped and made again has another."""
        if self._reader is None or self._reader[0] != table.metadata.table_uuid:
            self._reader = table.metadata.table_uuid, Reader(table)
        return self._reader[1]

    def observe(self, table: Table, *, scan: bool = True) -> TableStats:
        """The table's head in figures; with `scan`, a small table's scan is timed."""
        with lake_errors():
            contents = self.reader(table).contents(table)
            return observe(table, contents, self._scan_s(table, contents) if scan else None)

    def is_stale(self, table: Table) -> bool:
        """Whether what `table` shows was dropped, or expired by another run, since it was loaded: its files may go."""
        now, head = self.load(), table.current_snapshot()
        if now is None or now.metadata.table_uuid != table.metadata.table_uuid:
            return True
        return head is not None and now.metadata.snapshot_by_id(head.snapshot_id) is None

    def run(self, table: Table, pulse: Callable[[], object] = lambda: None) -> Report:
        """Do what is worth doing, until done or asked to stop; a group that has begun is finished.

        `pulse` is called now and then: between commits and, in a long rewrite, with each batch of rows.

        Raises:
            FileNotFoundError: a file that the table names is gone, or the table was dropped.
            NotCompacted: it holds what compaction does not handle.
            PositionRefused: another engine has set the table back; nothing of it is touched until that is resolved.
            ServerTrouble: catalog or storage is away; what was committed stays.
            Stopped: positions of expired commits do not follow each other.
        """
        table_positions(table, self.contract.table)
        scan = self.env.now_ms() - self._scanned_ms >= SCAN_EVERY_MS
        before, started = self.observe(table, scan=scan), time.monotonic()
        counts = RunCounts()
        with lake_errors():
            try:
                self._work(table, counts, pulse)
            except FileNotFoundError:
                if not self.is_stale(table):
                    raise
                self._discard_work(counts, "its files were replaced and expired meanwhile")
            table = self.env.catalog.load_table(identifier(self.name))
            self.reader(table).forget(table, self.reader(table).contents(table))
        seconds, after = time.monotonic() - started, self.observe(table, scan=scan)
        self._scanned_ms = self.env.now_ms() if scan else self._scanned_ms
        return Report(
            table=self.name,
            at_ms=self.env.now_ms(),
            seconds=round(seconds, 3),
            before=before,
            after=after,
            **vars(counts),
        )

    def expire(self) -> int:
        """Expire snapshots only; return how many.

        Raises:
            ContractRefused: the table is of a format version whose metadata PyIceberg would not write back whole.
            NoSuchTableError: the table was dropped.
            ServerTrouble: catalog or storage is away.
            Stopped: positions of expired commits do not follow each other.
        """
        counts = RunCounts()
        with lake_errors():
            refuse_format(self.env.catalog.load_table(identifier(self.name)), self.contract)
            self._expire(counts)
        return counts.expired

    def _work(self, table: Table, counts: RunCounts, pulse: Callable[[], object]) -> None:
        table = self._correct_bounds(table, counts)
        self._rewrite(table, counts, pulse)
        for step in (self._merge_deletes, self._expire, self._delete_due):
            pulse()
            step(counts)

    def _correct_bounds(self, table: Table, counts: RunCounts) -> Table:
        """List files as they are where an earlier version said otherwise; the table as it is then."""
        start, begun_ms = self.reader(table).contents(table), self.env.now_ms()
        restated = bounds.corrected(table, start, self.reader(table))
        if restated:
            log.info("corrected bounds", table=self.name, files=len(restated))
            self._commit(table, FileChange([], [], restated=restated), start, begun_ms, counts)
        if bounds.suspects(table, start):
            bounds.remember(self.env.catalog.load_table(identifier(self.name)))
        return self.env.catalog.load_table(identifier(self.name)) if restated else table

    def _rewrite(self, table: Table, counts: RunCounts, pulse: Callable[[], object]) -> None:
        start = self.reader(table).contents(table)
        for batch in _batches(self.plan(table, start).groups, self.env.budget.group_rows):
            if self.env.stopping():
                return
            tasks = [self._task(table, group, start) for group in batch]
            size = self._limits(table).target_file_size
            begun_ms = self.env.now_ms()
            done = rewrite(table, tasks, self.sort_by, size, self.env.budget, pulse)
            counts.rewritten_bytes += sum(group.size for group in batch)
            self._commit(table, FileChange(done.old, done.new, done.moves), start, begun_ms, counts)
            pulse()

    def _merge_deletes(self, counts: RunCounts) -> None:
        """As many groups at a time as memory holds, planned again after each: a commit drops delete files of all."""
        for _round in range(MOST_MERGES):
            table = self.env.catalog.load_table(identifier(self.name))
            start = self.reader(table).contents(table)
            groups = self.plan(table, start).deletes
            if not groups or self.env.stopping():
                return
            some, begun_ms = together(groups, self.env.budget.delete_rows), self.env.now_ms()
            self._commit(table, merge_delete_files(table, some, start, self.reader(table)), start, begun_ms, counts)
            if len(some) == len(groups):
                return

    def _commit(self, table: Table, change: FileChange, start: Contents, begun_ms: int, counts: RunCounts) -> None:
        committer = Committer(self.env.catalog, identifier(self.name), self.reader(table), self.env.now_ms)
        try:
            committed = committer.commit(change, start, begun_ms)
        except CommitAbandoned as reason:
            self._discard_work(counts, str(reason))
        else:
            counts.commits += 1
            counts.conflicts += committed.conflicts
            counts.translated += committed.translated

    def _discard_work(self, counts: RunCounts, reason: str) -> None:
        counts.lost += 1
        log.info("work discarded", table=self.name, reason=reason)

    def _expire(self, counts: RunCounts) -> None:
        table = self.env.catalog.load_table(identifier(self.name))
        manifests, rules = self.reader(table).manifests, retention(table.properties)
        gone = self.expired(table)
        if not gone:
            return
        audited, to = audit(table.metadata, gone)
        files = only_used_by(gone, table.metadata, manifests)
        deferred = defer_delete(table, files, self.env.now_ms() + rules.grace_ms)
        try:
            Expiry(self.env.catalog).commit(table, gone, audited, to)
        except CommitFailedException:
            discard(table, [deferred.path])  # the next run looks again
        else:
            counts.expired += len(gone)

    def _delete_due(self, counts: RunCounts) -> None:
        table = self.env.catalog.load_table(identifier(self.name))
        manifests = self.reader(table).manifests
        counts.deleted_files = delete_due(table, self.env.settings, manifests, self.env.now_ms())

    def _task(self, table: Table, group: Group, start: Contents) -> RewriteTask:
        partition = group.partition
        assert isinstance(partition, LakePartition)
        files = [start.data[file.path].data_file for file in group.files]
        deleted = self.reader(table).delete_files.rows(start.deletes, {file.path for file in group.files})
        return RewriteTask(files, deleted, partition.spec_id, partition.values)

    def _limits(self, table: Table) -> Thresholds:
        limits = thresholds(table.properties)
        most = self.env.budget.memory * GROUP_PER_MEMORY
        return replace(
            limits,
            max_file_group_size=min(limits.max_file_group_size, most),
            max_delete_rows=self.env.budget.delete_rows,
            max_group_rows=self.env.budget.group_rows,
        )

    def _scan_s(self, table: Table, contents: Contents) -> float | None:
        size = sum(entry.data_file.file_size_in_bytes for entry in contents.data.values())
        if size > self.env.scan_up_to:
            return None
        started = time.monotonic()
        for _file, _rows in live_rows(table, [OFFSET]):
            pass
        return round(time.monotonic() - started, 4)


@dataclass
class RunCounts:
    """What a run did; see `Report`."""

    commits: int = 0
    lost: int = 0
    conflicts: int = 0
    translated: int = 0
    rewritten_bytes: int = 0
    expired: int = 0
    deleted_files: int = 0


def _batches(groups: Sequence[Group], most_rows: int) -> Iterator[list[Group]]:
    """Groups that share a commit."""
    batch: list[Group] = []
    for group in groups:
        with_it = [*batch, group]
        full = sum(one.size for one in with_it) > COMMIT_BYTES or sum(one.rows for one in with_it) > most_rows
        if batch and full:
            yield batch
            batch = []
        batch.append(group)
    if batch:
        yield batch
