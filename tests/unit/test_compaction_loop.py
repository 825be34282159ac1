from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from sqlalchemy.exc import OperationalError

from compaction.commit import Committer
from compaction.job import Job
from compaction.lease import LASTS_MS, Lease, LeaseHolder, Renewal, is_free, lease_holder
from compaction.loop import Busy, run_once, wait_for
from compaction.report import Report
from compaction.rewrite import rewrite
from compaction.storage import stored
from compaction.sweep import orphans
from compaction.table_stats import NotCompacted
from olist.errors import ServerTrouble, Stopped
from olist.lake.catalog import identifier, open_catalog
from olist.lake.files import MAX_UNCOMMITTED_MS, FileWriter, amended
from olist.lake.row_delta import OneCommit, RowDelta
from olist.telemetry import COMPACTION_FAILING
from tests.lakes import NOTES, Lake, local_settings

FAR = 1 << 42  # a clock by which every snapshot is old and every grave due
AWAY = OperationalError("select 1", {}, Exception("the server closed the connection"))


AWAY_TROUBLE = ServerTrouble("lake catalog", "connection refused")


class Clock:
    """Milliseconds; each look takes `step_ms`."""

    def __init__(self, step_ms: int = 0) -> None:
        self.now, self.step_ms = 0, step_ms

    def __call__(self) -> int:
        self.now += self.step_ms
        return self.now


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A table that is worth compacting."""
    lake = Lake(local_settings(tmp_path))
    writer = lake.writer()
    for value in range(6):
        lake.write(writer, [(1, value), (2, value)])
    return lake


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier("notes"))


def job_by(lake: Lake, clock: Clock) -> Job:
    return Job(replace(lake.job().env, now_ms=clock), NOTES)


def names(reports: Iterator[Report]) -> list[str]:
    return [report.table for report in reports]


def lease_of(lake: Lake, owner: str) -> Lease:
    return Lease(lake.catalog, owner)


def test_a_lease_keeps_another_away_until_it_is_given_back_or_over(lake: Lake) -> None:
    one, two = (Lease(lake.catalog, owner, 1000) for owner in ("one", "two"))
    assert one.acquire(table(lake), now_ms=0)
    assert not two.acquire(table(lake), now_ms=999)
    assert one.acquire(table(lake), now_ms=999)
    one.release(table(lake))
    assert two.acquire(table(lake), now_ms=1000)
    one.release(table(lake))
    assert lease_holder(table(lake)) == LeaseHolder("two", 2000)
    assert is_free(LeaseHolder("two", 2000), "one", 2000)


def test_a_table_that_is_not_due_is_left_alone(tmp_path: Path) -> None:
    lake = Lake(local_settings(tmp_path))
    lake.write(lake.writer(), [(1, 1)])
    assert names(run_once([lake.job()], lease_of(lake, "one"))) == []


def test_a_table_that_was_looked_at_leaves_its_memory_to_the_next(lake: Lake) -> None:
    lake.properties(min_input_files="100", min_delete_files="100", delete_ratio_threshold="2")
    job = lake.job()
    deletes = job.reader(table(lake)).delete_files
    assert not job.is_due(table(lake))
    assert deletes._kept_rows > 0
    assert names(run_once([job], lease_of(lake, "one"))) == []
    assert deletes._kept_rows == 0


def test_the_table_of_a_killed_compactor_is_compacted_within_half_a_minute(lake: Lake) -> None:
    clock, busy = Clock(), list[Busy]()
    assert lease_of(lake, "killed").acquire(table(lake), clock())
    next_one = lease_of(lake, "next")
    assert names(run_once([job_by(lake, clock)], next_one, busy.append)) == []
    assert [str(one) for one in busy] == ["notes: another compactor (killed) has it until 00:00:30 UTC"]
    clock.now += 30_000
    assert names(run_once([job_by(lake, clock)], next_one, busy.append)) == ["notes"]
    assert len(busy) == 1


def test_a_rewrite_that_outlasts_its_lease_keeps_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(step_ms=LASTS_MS // 4)
    commit, free = Committer.commit, list[bool]()

    def looking(landing: Committer, *arguments: Any) -> Any:
        free.append(is_free(lease_holder(table(lake)), "other", clock.now))
        return commit(landing, *arguments)

    monkeypatch.setattr(Committer, "commit", looking)
    assert names(run_once([job_by(lake, clock)], lease_of(lake, "slow"))) == ["notes"]
    assert clock.now > 2 * LASTS_MS
    assert free == [False]
    assert lease_holder(table(lake)) == LeaseHolder("slow", 0)


def test_renewals_are_few_and_one_that_fails_ends_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lease = Clock(), lease_of(lake, "one")
    assert lease.acquire(table(lake), clock())
    renew, commits = Renewal(lease, identifier("notes"), clock), list[int]()
    commit = lake.catalog.commit_table

    def counted(*arguments: Any) -> Any:
        commits.append(clock.now)
        if len(commits) == 2:
            raise AWAY
        return commit(*arguments)

    monkeypatch.setattr(lake.catalog, "commit_table", counted)
    for _ in range(600):
        clock.now += 100
        renew()
    assert commits == [10_000, 20_000, 30_000, 40_000, 50_000, 60_000]
    assert lease_holder(table(lake)) == LeaseHolder("one", 60_000 + LASTS_MS)


def test_a_catalog_that_is_away_while_a_lease_is_taken_is_trouble_to_wait_out(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake.catalog, "commit_table", raising(AWAY))
    with pytest.raises(ServerTrouble, match="closed the connection"):
        list(run_once([lake.job()], lease_of(lake, "one")))


def test_a_lease_that_cannot_be_given_back_hides_no_report(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(open_catalog(lake.settings), "one")
    job = lake.job()
    monkeypatch.setattr(job, "run", after(job.run, lambda: monkeypatch.setattr(lease.catalog, "load_table", away)))
    away = raising(AWAY)
    assert names(run_once([job], lease)) == ["notes"]
    lease.catalog.close()


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call


def after(call: Callable[..., Any], then: Callable[[], object]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        found = call(*arguments)
        then()
        return found

    return both


@pytest.mark.parametrize("error", [Stopped("positions do not add up"), ServerTrouble("lake catalog", "50 lost")])
def test_what_stops_one_table_does_not_keep_the_next_waiting(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    history = lake.writer(history=True)
    for value in range(6):
        lake.write(history, [(1, value)])
    first = lake.job()
    monkeypatch.setattr(first, "run", raising(error))
    done: list[Report] = []
    with pytest.raises(type(error), match=str(error)):
        done.extend(run_once([first, lake.job(history=True)], lease_of(lake, "one")))
    assert names(iter(done)) == ["notes_changes"]


def meanwhile(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Do something after the next rewrite is planned and before it reads its first file."""

    def rewrite_after(*arguments: Any) -> Any:
        monkeypatch.setattr("compaction.job.rewrite", rewrite)
        do()
        return rewrite(*arguments)

    monkeypatch.setattr("compaction.job.rewrite", rewrite_after)


def test_a_run_whose_files_another_has_replaced_and_expired_throws_its_work_away(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.properties(grace_ms="0")
    with table(lake).transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": "1"})
    meanwhile(monkeypatch, lambda: lake.compact(lake.job(now_ms=FAR)))
    (report,) = run_once([lake.job()], lease_of(lake, "slow"))
    assert (report.lost, report.commits) == (1, 0)
    assert lake.held() == lake.model


def test_a_file_that_is_really_gone_stops_that_table(lake: Lake) -> None:
    (gone, *_) = [task.file.file_path for task in table(lake).scan().plan_files()]
    table(lake).io.delete(gone)
    with pytest.raises(Stopped, match=gone.rpartition("/")[2]):
        list(run_once([lake.job()], lease_of(lake, "one")))


def test_files_so_old_that_a_sweep_may_have_taken_them_are_not_committed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.properties(min_delete_files="100")
    clock = Clock()
    meanwhile(monkeypatch, lambda: setattr(clock, "now", MAX_UNCOMMITTED_MS + 1))
    before = {file.path for file in stored(table(lake).location() + "/data", lake.settings)}
    report = lake.compact(job_by(lake, clock))
    assert (report.lost, report.commits) == (1, 0)
    assert {file.path for file in stored(table(lake).location() + "/data", lake.settings)} == before
    assert orphans(lambda: table(lake), lake.settings, older_than_ms=0, now_ms=FAR).files == []
    assert lake.compact(job_by(lake, clock)).commits > 0
    assert lake.held() == lake.model


def test_a_table_with_whatever_fault_keeps_no_other_waiting(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    history = lake.writer(history=True)
    for value in range(6):
        lake.write(history, [(1, value)])
    first, second = lake.job(), lake.job(history=True)
    nothing: dict[str, bool] = {}
    monkeypatch.setattr(first, "is_due", lambda _table: nothing["no such key"])
    done = run_once([first, second], lease_of(lake, "one"))
    assert next(done).table == "notes_changes"
    with pytest.raises(Stopped, match="lake table notes: KeyError: 'no such key'"):
        next(done)
    failing = {
        sample.labels["table"]: sample.value for metric in COMPACTION_FAILING.collect() for sample in metric.samples
    }
    assert (failing["notes"], failing["notes_changes"]) == (1, 0)


def another_engine_adds(lake: Lake, **listed: Any) -> None:
    """A file that is listed as no file of ours is."""
    (file, *_) = lake.writer().stage(lake.changes.frame([(1, 5)])[0]).data_files
    append(lake, amended(file, **listed))


def append(lake: Lake, file: DataFile) -> None:
    """What another engine does with a file of its own."""
    transaction = OneCommit(table(lake))
    RowDelta(transaction, [file], [], {}).commit()
    transaction.commit_transaction()


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ({"content": DataFileContent.EQUALITY_DELETES, "equality_ids": [1]}, "equality deletes"),
        ({"file_format": FileFormat.ORC}, "are not Parquet"),
    ],
)
def test_a_table_that_cannot_be_rewritten_is_refused_by_name_and_left_as_it_is(
    lake: Lake, listed: dict[str, Any], reason: str
) -> None:
    another_engine_adds(lake, **listed)
    before = table(lake).metadata_location
    with pytest.raises(Stopped, match=rf"lake table notes.*{reason}"):
        names(run_once([lake.job()], lease_of(lake, "one")))
    assert table(lake).metadata_location == before


def test_what_another_engine_adds_while_files_are_rewritten_is_refused_too(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*arguments: Any) -> Any:
        another_engine_adds(lake, content=DataFileContent.EQUALITY_DELETES, equality_ids=[1])
        return rewrite(*arguments)

    monkeypatch.setattr("compaction.job.rewrite", meanwhile)
    with pytest.raises(NotCompacted, match="equality deletes"):
        names(run_once([lake.job()], lease_of(lake, "one")))


def test_a_file_without_field_ids_is_never_taken_for_one_of_nulls(lake: Lake) -> None:
    (file, *_) = lake.writer().stage(lake.changes.frame([(1, 5)])[0]).data_files
    path = file.file_path.removeprefix("file://")
    rows = pq.read_table(path)
    plain = [column.remove_metadata() for column in rows.schema]
    pq.write_table(rows.cast(pa.schema(plain)), path)
    append(lake, amended(file, file_size_in_bytes=Path(path).stat().st_size))
    with pytest.raises(NotCompacted, match="has no field id"):
        names(run_once([lake.job()], lease_of(lake, "one")))
    assert file.file_path in {task.file.file_path for task in table(lake).scan().plan_files()}


def test_a_table_that_is_partitioned_otherwise_by_another_engine_keeps_every_row(lake: Lake) -> None:
    with table(lake).update_spec() as update:
        update.add_identity("place")
    for value in (7, 8, 9):
        rows, _to = lake.changes.frame([(3, value)])
        append(lake, FileWriter.of(table(lake)).data_file(rows, Record(0, "p3")))
    with table(lake).update_spec() as update:
        update.remove_field("place")
    before = values(lake)
    lake.properties(min_input_files="2")
    assert names(run_once([lake.job()], lease_of(lake, "one"))) == ["notes"]
    assert values(lake) == before
    spec_ids = {task.file.spec_id for task in table(lake).scan().plan_files()}
    assert len(spec_ids) == 2


def values(lake: Lake) -> list[int]:
    return sorted(pl.DataFrame(pl.from_arrow(table(lake).scan().to_arrow()))["value"].to_list())


def test_a_compactor_that_starts_before_its_catalog_waits_for_it() -> None:
    now, troubles = iter(range(100)), [AWAY_TROUBLE, AWAY_TROUBLE]

    def opened() -> str:
        if troubles:
            raise troubles.pop()
        return "a catalog"

    assert wait_for(opened, 10, NoPause(), lambda: next(now)) == "a catalog"


def test_a_compactor_gives_up_when_its_patience_is_over() -> None:
    now, asked = iter(range(100)), list[int]()

    def opened() -> str:
        asked.append(1)
        raise AWAY_TROUBLE

    with pytest.raises(ServerTrouble):
        wait_for(opened, 3, NoPause(), lambda: next(now))
    assert 1 < len(asked) < 6
    with pytest.raises(ServerTrouble):
        wait_for(opened, 0, NoPause(), lambda: next(now))


class NoPause(Event):
    """Nobody asks to stop, and time passes by the clock of the test."""

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        return False
