"""One run over one table: plan, rewrite and commit group by group, merge delete files, expire, clear the graveyard."""

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
from compaction.commit import Change, Landing, Lost, merge_deletes
from compaction.deferred_deletes import bury, clear, due_graves
from compaction.expire import Expiry, audit, expired, only_used_by
from compaction.options import Thresholds, keeping, may_delete, thresholds
from compaction.plan import DeleteGroup, Group, plan, plan_deletes, together
from compaction.report import Look, Report, look
from compaction.rewrite import Budget, Task, rewrite
from compaction.storage import discard
from compaction.table_stats import Place, Reader, refuse
from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Contract
from olist.lake.ancestry import table_positions
from olist.lake.catalog import identifier
from olist.lake.errors import lake_errors
from olist.lake.files import wall_ms
from olist.lake.live_rows import live_rows
from olist.lake.manifests import Contents
from olist.lake.writable import refuse_unwritable
from olist.settings import Settings

log = structlog.get_logger()

COMMIT_BYTES = 64 << 20  # small groups share a commit, so that writers meet fewer
SCAN_EVERY_MS = 60_000  # a scan is timed by reading the table, so not with every run
MOST_MERGES = 10  # commits of merged delete files in one run; the rest waits for the next
GROUP_PER_MEMORY = 4  # bytes of a group, compressed, per byte of memory: bounds the runs of a sort


@dataclass(frozen=True)
class Means:
    """What every job works with. `scan_up_to`: the largest table, in bytes, whose scan is timed for the report."""

    catalog: SqlCatalog
    settings: Settings
    budget: Budget
    stopping: Callable[[], bool] = lambda: False
    now_ms: Callable[[], int] = wall_ms
    scan_up_to: int = 64 << 20


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    groups: list[Group]
    deletes: list[DeleteGroup]


class Job:
    """Compacts one lake table, as often as asked; remembers what never changes between runs."""

    def __init__(self, means: Means, contract: Contract, *, history: bool = False) -> None:
        self.means, self.contract, self.history = means, contract, history
        self.name = f"{contract.table}_changes" if history else contract.table
        # A history is read by time of change; current rows by what the contract says.
        self.sort_by = (COMMITTED_AT, PARTITION, OFFSET) if history else contract.sort_by
        self._reader: tuple[Any, Reader] | None = None
        self._scanned_ms = 0

    def load(self) -> Table | None:
        """The table as it is now, or None where the sink has not made it yet."""
        with lake_errors():
            try:
                return self.means.catalog.load_table(identifier(self.name))
            except NoSuchTableError:
                return None

    def release(self) -> None:
        """Let go of deleted rows that were kept for commits that are tried again: other tables want the memory."""
        if self._reader is not None:
            self._reader[1].delete_files.release()

    def plan(self, table: Table, contents: Contents) -> Plan:
        """What is worth doing to the table.

        Raises:
            ContractRefused: another engine has made it into a table that sinks do not write.
            NotCompacted: it holds what compaction does not handle.
        """
        with lake_errors():
            refuse_unwritable(table, self.contract, history=self.history)
        refuse(table, contents)
        reader, limits = self.reader(table), self._limits(table)
        with lake_errors():
            groups = plan(reader.data_facts(contents), limits)
            return Plan(groups, plan_deletes(reader.delete_facts(contents), limits))

    def is_due(self, table: Table) -> bool:
        """Whether a run would find something to do: files, deletes or snapshots beyond a threshold, or due graves."""
        with lake_errors():
            planned = self.plan(table, self.reader(table).contents(table))
            return bool(
                planned.groups
                or planned.deletes
                or self._has_wrong_bounds(table)
                or self.expired(table)
                or due_graves(table, self.means.settings, self.means.now_ms())
            )

    def _has_wrong_bounds(self, table: Table) -> bool:
        reader = self.reader(table)
        contents = reader.contents(table)
        return bool(bounds.suspects(table, contents) or any(bounds.cut_deletes(contents, reader)))

    def expired(self, table: Table) -> list[Snapshot]:
        """The snapshots that a run would remove: as with Iceberg's own expiry none where ``gc.enabled=false``."""
        if not may_delete(table.properties):
            return []
        return expired(table.metadata, keeping(table.properties), self.means.now_ms())

    def reader(self, table: Table) -> Reader:
        """The reader of this very table: one that was dropped and made again has another."""
        if self._reader is None or self._reader[0] != table.metadata.table_uuid:
            self._reader = table.metadata.table_uuid, Reader(table)
        return self._reader[1]

    def look(self, table: Table, *, scan: bool = True) -> Look:
        """The table's head in figures; with `scan`, a small table's scan is timed."""
        with lake_errors():
            contents = self.reader(table).contents(table)
            return look(table, contents, self._scan_s(table, contents) if scan else None)

    def is_outrun(self, table: Table) -> bool:
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
        scan = self.means.now_ms() - self._scanned_ms >= SCAN_EVERY_MS
        before, started = self.look(table, scan=scan), time.monotonic()
        counted = Counted()
        with lake_errors():
            try:
                self._work(table, counted, pulse)
            except FileNotFoundError:
                if not self.is_outrun(table):
                    raise
                self._lose(counted, "its files were replaced and expired meanwhile")
            table = self.means.catalog.load_table(identifier(self.name))
            self.reader(table).forget(table, self.reader(table).contents(table))
        seconds, after = time.monotonic() - started, self.look(table, scan=scan)
        self._scanned_ms = self.means.now_ms() if scan else self._scanned_ms
        return Report(
            table=self.name,
            at_ms=self.means.now_ms(),
            seconds=round(seconds, 3),
            before=before,
            after=after,
            **vars(counted),
        )

    def expire(self) -> int:
        """Expire snapshots only; return how many."""
        counted = Counted()
        with lake_errors():
            self._expire(counted)
        return counted.expired

    def _work(self, table: Table, counted: Counted, pulse: Callable[[], object]) -> None:
        table = self._mend_bounds(table, counted)
        self._rewrite(table, counted, pulse)
        for step in (self._merge_deletes, self._expire, self._clear):
            pulse()
            step(counted)

    def _mend_bounds(self, table: Table, counted: Counted) -> Table:
        """List files as they are where an earlier version said otherwise; the table as it is then."""
        start, begun_ms = self.reader(table).contents(table), self.means.now_ms()
        restated = bounds.mended(table, start, self.reader(table))
        if restated:
            log.info("mended bounds", table=self.name, files=len(restated))
            self._land(table, Change([], [], restated=restated), start, begun_ms, counted)
        if bounds.suspects(table, start):
            bounds.remember(self.means.catalog.load_table(identifier(self.name)))
        return self.means.catalog.load_table(identifier(self.name)) if restated else table

    def _rewrite(self, table: Table, counted: Counted, pulse: Callable[[], object]) -> None:
        start = self.reader(table).contents(table)
        for batch in _batches(self.plan(table, start).groups, self.means.budget.group_rows):
            if self.means.stopping():
                return
            tasks = [self._task(table, group, start) for group in batch]
            size = self._limits(table).target_file_size
            begun_ms = self.means.now_ms()
            done = rewrite(table, tasks, self.sort_by, size, self.means.budget, pulse)
            counted.rewritten_bytes += sum(group.size for group in batch)
            self._land(table, Change(done.old, done.new, done.moves), start, begun_ms, counted)
            pulse()

    def _merge_deletes(self, counted: Counted) -> None:
        """As many groups at a time as memory holds, planned anew after each: a commit clears delete files of all."""
        for _round in range(MOST_MERGES):
            table = self.means.catalog.load_table(identifier(self.name))
            start = self.reader(table).contents(table)
            groups = self.plan(table, start).deletes
            if not groups or self.means.stopping():
                return
            some, begun_ms = together(groups, self.means.budget.delete_rows), self.means.now_ms()
            self._land(table, merge_deletes(table, some, start, self.reader(table)), start, begun_ms, counted)
            if len(some) == len(groups):
                return

    def _land(self, table: Table, change: Change, start: Contents, begun_ms: int, counted: Counted) -> None:
        landing = Landing(self.means.catalog, identifier(self.name), self.reader(table), self.means.now_ms)
        try:
            landed = landing.land(change, start, begun_ms)
        except Lost as lost:
            self._lose(counted, str(lost))
        else:
            counted.commits += 1
            counted.conflicts += landed.conflicts
            counted.translated += landed.translated

    def _lose(self, counted: Counted, reason: str) -> None:
        counted.lost += 1
        log.info("threw work away", table=self.name, reason=reason)

    def _expire(self, counted: Counted) -> None:
        table = self.means.catalog.load_table(identifier(self.name))
        manifests, rules = self.reader(table).manifests, keeping(table.properties)
        gone = self.expired(table)
        if not gone:
            return
        audited, to = audit(table.metadata, gone)
        files = only_used_by(gone, table.metadata, manifests)
        grave = bury(table, files, self.means.now_ms() + rules.grace_ms)
        try:
            Expiry(self.means.catalog).commit(table, gone, audited, to)
        except CommitFailedException:
            discard(table, [grave.path])  # the next run looks again
        else:
            counted.expired += len(gone)

    def _clear(self, counted: Counted) -> None:
        table = self.means.catalog.load_table(identifier(self.name))
        manifests = self.reader(table).manifests
        counted.deleted_files = clear(table, self.means.settings, manifests, self.means.now_ms())

    def _task(self, table: Table, group: Group, start: Contents) -> Task:
        place = group.partition
        assert isinstance(place, Place)
        files = [start.data[file.path].data_file for file in group.files]
        deleted = self.reader(table).delete_files.rows(start.deletes, {file.path for file in group.files})
        return Task(files, deleted, place.spec_id, place.values)

    def _limits(self, table: Table) -> Thresholds:
        limits = thresholds(table.properties)
        most = self.means.budget.memory * GROUP_PER_MEMORY
        return replace(
            limits,
            max_file_group_size=min(limits.max_file_group_size, most),
            max_delete_rows=self.means.budget.delete_rows,
            max_group_rows=self.means.budget.group_rows,
        )

    def _scan_s(self, table: Table, contents: Contents) -> float | None:
        size = sum(entry.data_file.file_size_in_bytes for entry in contents.data.values())
        if size > self.means.scan_up_to:
            return None
        started = time.monotonic()
        for _file, _rows in live_rows(table, [OFFSET]):
            pass
        return round(time.monotonic() - started, 4)


@dataclass
class Counted:
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
