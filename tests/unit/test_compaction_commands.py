"""The commands, on a table of this disk."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from compaction.cli import command
from compaction.lease import Lease
from compaction.report import Report, shown
from compaction.storage import Stored, stored
from compaction.sweep import Orphans
from compaction.table_stats import TableStats
from olist.errors import BadInput, Stopped
from olist.lake.catalog import identifier
from olist.lake.files import wall_ms
from tests.lakes import NOTES, Lake, local_settings

DAY_MS = 86_400_000


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The lake that the commands work on: one table, worth compacting, of no other process."""
    lake = Lake(local_settings(tmp_path))
    writer = lake.writer()
    for value in range(6):
        lake.write(writer, [(1, value)])
    monkeypatch.setattr("compaction.cli.settings", lambda: lake.settings)
    monkeypatch.setattr("olist.contract_registry.contracts", lambda: {NOTES.table: NOTES})
    for elsewhere in ("olist.telemetry.configure_logging", "compaction.report.publish", "signal.signal"):
        monkeypatch.setattr(elsewhere, lambda *_: None)
    return lake


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def head(lake: Lake) -> tuple[str, int]:
    table = lake.catalog.load_table(identifier("notes"))
    return table.metadata_location, len(table.snapshots())


def files(lake: Lake) -> set[str]:
    return {file.path for file in stored(lake.catalog.load_table(identifier("notes")).location(), lake.settings)}


def test_a_plan_and_a_dry_run_show_what_would_be_done_and_do_nothing(lake: Lake) -> None:
    before = head(lake), files(lake)
    (found,) = msgspec.json.decode(run("plan", "-o", "json").stdout)
    assert {**found, "megabytes": 0} == {
        "table": "notes", "groups": 1, "data_files": 6, "megabytes": 0, "delete_files": 5, "snapshots": 0
    }  # fmt: skip
    assert run("--dry-run", "-o", "json").stdout == run("plan", "-o", "json").stdout
    assert "data files" in run("--dry-run").stdout
    assert (head(lake), files(lake)) == before


def test_a_run_shows_what_it_did_and_a_second_has_nothing_to_do(lake: Lake) -> None:
    assert "6 -> 1" in run().stdout
    assert run().stdout == "nothing to do\n"
    assert lake.held() == lake.model


def test_a_table_that_another_has_is_not_called_nothing_to_do(lake: Lake) -> None:
    assert Lease(lake.catalog, "host:7").acquire(lake.catalog.load_table(identifier("notes")), wall_ms())
    said = run().stdout
    assert "notes: another compactor (host:7) has it until" in said
    assert "nothing to do" not in said


def test_a_run_that_stops_at_one_table_shows_what_it_did_to_the_others(lake: Lake) -> None:
    history = lake.writer(history=True)
    for value in range(6):
        lake.write(history, [(1, value)])
    (gone, *_) = [task.file.file_path for task in history.table.scan().plan_files()]
    history.table.io.delete(gone)
    result = CliRunner().invoke(command, [])
    assert isinstance(result.exception, Stopped)
    assert "6 -> 1" in result.stdout


def test_expire_removes_old_snapshots_and_leaves_files_alone(lake: Lake) -> None:
    with lake.catalog.load_table(identifier("notes")).transaction() as transaction:
        transaction.set_properties(
            {"history.expire.min-snapshots-to-keep": "2", "history.expire.max-snapshot-age-ms": "-1000"}
        )
    before = files(lake)
    assert "notes: 4 snapshots expired" in run("expire").stdout
    assert head(lake)[1] == 2
    assert {path for path in before if path.endswith(".parquet")} <= files(lake)
    assert lake.held() == lake.model


def test_a_sweep_lists_orphans_and_removes_them_only_when_told_to(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {file.file_path for file in lake.writer().stage(lake.changes.frame([(1, 9)])[0]).data_files}
    assert "notes: 0 files" in run("sweep").stdout
    monkeypatch.setattr("olist.lake.files.wall_ms", lambda: wall_ms() + 4 * DAY_MS)
    there = files(lake)
    for arguments in ((), ("--dry-run",), ("--delete", "--dry-run")):
        said = run("sweep", *arguments).stdout
        assert "would be deleted by --delete" in said
        assert all(path in said for path in left)
        assert files(lake) == there
    assert left < {*msgspec.json.decode(run("sweep", "--delete", "--yes", "-o", "json").stdout)["orphans"]}
    assert not left & files(lake)
    assert lake.held() == lake.model


@pytest.fixture
def four_days_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olist.lake.files.wall_ms", lambda: wall_ms() + 4 * DAY_MS)


@pytest.mark.usefixtures("four_days_later")
def test_a_sweep_of_many_files_or_of_young_ones_is_asked_for_twice(lake: Lake) -> None:
    lake.writer().stage(lake.changes.frame([(1, 9)])[0])
    there = files(lake)
    result = CliRunner().invoke(command, ["sweep", "--delete"])
    assert isinstance(result.exception, BadInput)
    assert "more than a tenth" not in str(result.exception)
    assert "written after the table's newest commit" in str(result.exception)
    assert files(lake) == there
    run("sweep", "--delete", "--yes")
    assert len(files(lake)) == len(there) - 2


def test_a_sweep_of_more_than_a_tenth_is_doubted_and_one_of_less_is_not() -> None:
    def found(count: int) -> Orphans:
        return Orphans([Stored(f"/{number}", 5, 1) for number in range(count)], there=100, newest_ms=5)

    assert found(10).doubts == []
    assert found(11).doubts == ["11 of 100 files are more than a tenth"]


@pytest.mark.usefixtures("four_days_later")
def test_a_table_that_shares_its_files_loses_none(lake: Lake) -> None:
    lake.writer().stage(lake.changes.frame([(1, 9)])[0])
    lake.properties(grace_ms="0")
    with lake.catalog.load_table(identifier("notes")).transaction() as transaction:
        transaction.set_properties(
            {
                "gc.enabled": "FALSE",
                "history.expire.min-snapshots-to-keep": "1",
                "history.expire.max-snapshot-age-ms": "-1",
                "write.metadata.previous-versions-max": "100",
            }
        )
    there = files(lake)
    assert "6 -> 1" in run().stdout
    assert run().stdout == "nothing to do\n"
    assert "notes: 0 snapshots expired (gc.enabled is false)" in run("expire").stdout
    result = CliRunner().invoke(command, ["sweep", "--delete", "--yes"])
    assert "notes: its property gc.enabled is false" in str(result.exception)
    assert there < files(lake)
    assert lake.held() == lake.model


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--every", "often"], "60s, 5m, 3d"),
        (["--memory", "much"], "512MB, 2GB"),
        (["--memory", "256MB"], "too little"),
        (["--tables", "nothing"], "no table named nothing"),
        (["sweep", "--older-than", "23h"], "below 24h"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code != 0
    assert told in result.output + str(result.exception)


def test_a_report_is_shown_cell_by_cell_as_before_and_after() -> None:
    was = TableStats(
        data_files=40, delete_files=8, bytes=58_500_000, rows=1_200_000, delete_rows=9, snapshots=3, scan_s=1.25
    )
    now = TableStats(
        data_files=1, delete_files=0, bytes=41_000_000, rows=1_080_000, delete_rows=0, snapshots=3, scan_s=0.5
    )
    untimed = msgspec.structs.replace(now, scan_s=None)
    out = Console(file=io.StringIO(), width=200)
    out.print(
        shown(
            [
                Report(table="orders", at_ms=1, seconds=2.5, before=was, after=now),
                Report(table="sellers", at_ms=1, seconds=2.5, before=now, after=untimed),
            ]
        )
    )
    assert isinstance(out.file, io.StringIO)
    lines = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in out.file.getvalue().splitlines()]
    assert lines == [
        ["table", "data files", "delete files", "MB", "delete rows", "snapshots", "scan s"],
        ["orders", "40 -> 1", "8 -> 0", "58.5 -> 41.0", "9 -> 0", "3", "1.25 -> 0.50"],
        ["sellers", "1", "0", "41.0", "0", "3", "-"],
    ]


def test_a_line_of_json_is_a_report(lake: Lake) -> None:
    (line,) = run("-o", "json").stdout.splitlines()
    report = msgspec.json.decode(line, type=Report)
    assert (report.table, report.commits, report.lost) == ("notes", 1, 0)
    assert (report.before.data_files, report.after.data_files, report.after.delete_rows) == (6, 1, 0)
    assert report.before.scan_s is not None
