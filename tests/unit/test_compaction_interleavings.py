"""Random interleavings of two writers, two compactors, expiries and restarts, held to a dict."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from compaction.commit import CommitAbandoned, Committer, FileChange, merge_delete_files
from compaction.job import Environment, Job, RunCounts
from compaction.plan import Group
from compaction.rewrite import Budget, rewrite
from olist.errors import ServerTrouble
from olist.lake.ancestry import audited_of, fold, ranges_of
from olist.lake.catalog import identifier
from olist.lake.manifests import Contents
from olist.lake.table import LakeTable, Staged
from olist.positions import Positions
from tests.lakes import NOTES, PARTITIONS, WHOLE_NOTES, Lake, local_settings, partition_of

Changes = list[tuple[int, int | None]]
KEYS = range(8)
writers = st.sampled_from(range(PARTITIONS))
compactors = st.sampled_from(range(2))
keys = st.sets(st.sampled_from(KEYS), min_size=1, max_size=6)
masks = st.integers(1, 255)


class Batch:
    """A batch that a writer has staged and not yet committed."""

    def __init__(self, changes: Changes, frame: pl.DataFrame, to: dict[int, int], staged: Staged) -> None:
        self.changes, self.frame, self.to, self.staged = changes, frame, to, staged


class Interleavings(RuleBasedStateMachine):
    """Writer n owns topic partition n. What a compactor has worked out lands later, or never."""

    @initialize(contract=st.sampled_from([NOTES, WHOLE_NOTES]), size=st.sampled_from([1, 3000, 1 << 20]))
    def start(self, contract: object, size: int) -> None:
        self.folder = TemporaryDirectory()
        home = Path(self.folder.name)
        self.lake = Lake(local_settings(home), NOTES if contract is NOTES else WHOLE_NOTES)
        self.writers: list[LakeTable] = [self.lake.writer([n]) for n in range(PARTITIONS)]
        self.batches: list[Batch | None] = [None] * PARTITIONS
        self.lake.properties(min_input_files="2", min_delete_files="2", grace_ms="0", min_file_size_bytes="1000000")
        with self.lake.catalog.load_table(self.name).transaction() as transaction:
            transaction.set_properties(
                {"write.target-file-size-bytes": str(size), "history.expire.min-snapshots-to-keep": "1"}
            )
        # Far ahead: every snapshot is old enough to expire, every grave due.
        env = Environment(
            self.lake.catalog, self.lake.settings, Budget(1 << 28, home), now_ms=lambda: 1 << 42, scan_up_to=0
        )
        self.env = env
        self.jobs = [self.fresh_job() for _ in range(2)]
        self.worked_out: list[tuple[FileChange, Contents] | None] = [None, None]

    @property
    def name(self) -> tuple[str, str]:
        return identifier(self.lake.contract.table)

    @rule(n=writers, keys=keys, value=st.integers(0, 99))
    def stage(self, n: int, keys: set[int], value: int) -> None:
        if self.batches[n] is None:
            changes: Changes = [
                (key, None if (key + value) % 4 == 0 else value) for key in keys if partition_of(key) == n
            ]
            frame, to = self.lake.changes.frame(changes)
            self.batches[n] = Batch(changes, frame, {n: to[n]}, self.writers[n].stage(frame))

    @rule(n=writers)
    def commit(self, n: int) -> None:
        batch = self.batches[n]
        if batch is None:
            return
        writer = self.writers[n]
        held = writer.positions or Positions.start("notes", "id", PARTITIONS)
        try:
            writer.commit(batch.staged, held, batch.to)
        except ServerTrouble:
            self.open(n)
            writer.commit(writer.stage(batch.frame), held, batch.to)
        self.lake.learn(batch.changes)
        self.batches[n] = None

    @rule(n=writers, keys=keys, value=st.integers(0, 99))
    def write(self, n: int, keys: set[int], value: int) -> None:
        self.stage(n, keys, value)
        self.commit(n)

    @rule(keys=keys, value=st.integers(0, 99), some=masks)
    def write_during_a_rewrite(self, keys: set[int], value: int, some: int) -> None:
        self.work_out_a_rewrite(0, some)
        for n in range(PARTITIONS):
            self.write(n, keys, value)
        self.land(0)

    @rule(n=writers)
    def restart_writer(self, n: int) -> None:
        self.writers[n] = LakeTable(self.lake.catalog, self.lake.contract)
        self.open(n)
        if batch := self.batches[n]:
            batch.staged = self.writers[n].stage(batch.frame)

    def open(self, n: int) -> None:
        self.writers[n].open()
        self.writers[n].assign(frozenset([n]))

    def fresh_job(self) -> Job:
        return Job(self.env, self.lake.contract)

    @rule(n=compactors)
    def restart_compactor(self, n: int) -> None:
        """A new process has read nothing yet, and what the old one had worked out is orphans."""
        self.jobs[n], self.worked_out[n] = self.fresh_job(), None

    @rule(n=compactors, some=masks)
    def work_out_a_rewrite(self, n: int, some: int) -> None:
        """Of any files, not only of those that a plan would take."""
        job = self.jobs[n]
        table = self.lake.catalog.load_table(self.name)
        start = job.reader(table).contents(table)
        chosen = [f for i, f in enumerate(job.reader(table).data_file_stats(start)) if some >> i % 8 & 1]
        groups = [
            Group(place, tuple(f for f in chosen if f.partition == place)) for place in {f.partition for f in chosen}
        ]
        tasks = [job._task(table, group, start) for group in groups]
        if tasks:
            size = job._limits(table).target_file_size
            done = rewrite(table, tasks, job.sort_by, size, job.env.budget)
            self.worked_out[n] = FileChange(done.old, done.new, done.moves), start

    @rule(n=compactors)
    def work_out_a_merge_of_delete_files(self, n: int) -> None:
        job = self.jobs[n]
        table = self.lake.catalog.load_table(self.name)
        start = job.reader(table).contents(table)
        groups = job.plan(table, start).deletes[:1]
        if groups:
            self.worked_out[n] = merge_delete_files(table, groups, start, job.reader(table)), start

    @precondition(lambda self: any(self.worked_out))
    @rule(n=compactors)
    def land(self, n: int) -> None:
        if self.worked_out[n] is None:
            return
        change, start = self.worked_out[n] or (None, None)
        assert change is not None
        assert start is not None
        self.worked_out[n] = None
        table = self.lake.catalog.load_table(self.name)
        try:
            Committer(self.lake.catalog, self.name, self.jobs[n].reader(table), lambda: 0).commit(change, start, 0)
        except CommitAbandoned:
            return

    @rule(n=compactors)
    def expire_and_delete(self, n: int) -> None:
        self.jobs[n]._expire(RunCounts())
        self.jobs[n]._delete_due(RunCounts())

    @rule(n=compactors)
    def run_a_whole_job(self, n: int) -> None:
        self.lake.compact(self.jobs[n])

    @invariant()
    def the_table_holds_the_model(self) -> None:
        if hasattr(self, "lake"):
            assert self.lake.held() == self.lake.model

    @invariant()
    def the_ranges_of_all_commits_follow_each_other(self) -> None:
        if not hasattr(self, "lake"):
            return
        table = self.lake.catalog.load_table(self.name)
        held = Positions.decode(table.properties.get("olist.positions", '{"topic":"","topic_id":"","next":{}}'))
        ends = fold(audited_of(table.metadata), map(ranges_of, table.metadata.snapshots))
        assert ends == {p: end for p, end in held.next.items() if p in ends}

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.lake.catalog.close()
            self.folder.cleanup()


Interleavings.TestCase.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestInterleavings = Interleavings.TestCase
