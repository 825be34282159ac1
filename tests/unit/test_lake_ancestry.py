"""Positions belong to the snapshot whose rows they speak of: what another engine does to main, and what sinks say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyiceberg.table import Table
from pyiceberg.table.update import SetPropertiesUpdate

from olist.errors import PositionRefused, Stopped
from olist.lake.ancestry import AUDITED, MOVED, POSITIONS, highest_positions, table_positions
from olist.lake.catalog import identifier
from olist.lake.row_delta import OneCommit, RowDelta
from olist.lake.table import LakeTable
from tests.lakes import Lake, local_settings

FAR = 1 << 42  # a clock by which every snapshot is old


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three commits of the same keys."""
    lake = Lake(local_settings(tmp_path))
    writer = lake.writer()
    for value in range(3):
        lake.write(writer, [(key, value) for key in range(6)])
    return lake


def as_earlier_versions(patch: pytest.MonkeyPatch) -> None:
    """Commits say which ranges they moved, and only the table's property says where it stands."""
    init, put = RowDelta.__init__, OneCommit.set_properties

    def said_less(self: RowDelta, transaction: OneCommit, added: Any, deletes: Any, said: dict[str, str]) -> None:
        init(self, transaction, added, deletes, {MOVED: said[MOVED]})

    patch.setattr(RowDelta, "__init__", said_less)
    patch.setattr(OneCommit, "set_properties", lambda self, said: put(self, {POSITIONS: said[POSITIONS]}))


@pytest.fixture
def of_earlier_versions(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The same, two commits more by a version that kept its positions in the property alone."""
    lake.catalog.purge_table(identifier("notes"))
    lake.__post_init__()
    with monkeypatch.context() as patch:
        as_earlier_versions(patch)
        patch.setattr("olist.lake.table.table_positions", lambda table, _: highest_positions(table.metadata))
        writer = lake.writer()
        for value in range(5):
            lake.write(writer, [(key, value) for key in range(6)])
    return lake


def table(lake: Lake) -> Table:
    return lake.catalog.load_table(identifier(lake.contract.table))


def set_main(lake: Lake, number: int) -> int:
    """Set main to the table's n-th snapshot, as `set_current_snapshot` of any engine; return its id."""
    snapshot = table(lake).snapshots()[number].snapshot_id
    table(lake).manage_snapshots().set_current_snapshot(snapshot).commit()
    return snapshot


def append_rows(lake: Lake) -> None:
    """Append what the table holds, as an engine that knows nothing of positions."""
    now = table(lake)
    now.append(now.scan().to_arrow().slice(0, 0))


def expire(lake: Lake, *numbers: int) -> None:
    """Expire snapshots as another engine does."""
    now = table(lake)
    ids = [now.snapshots()[number].snapshot_id for number in numbers]
    now.maintenance.expire_snapshots().by_ids(ids).commit()


def test_every_commit_says_in_its_snapshot_where_its_rows_stand(lake: Lake) -> None:
    said = [snapshot.summary.get(POSITIONS) for snapshot in table(lake).snapshots() if snapshot.summary]
    assert len(set(said)) == len(said) == 3
    assert said[-1] == table(lake).properties[POSITIONS]


def test_a_live_writer_whose_table_is_set_back_names_the_rollback_and_writes_nothing(lake: Lake) -> None:
    writer = lake.writer()
    newest, back = table(lake).snapshots()[-1].snapshot_id, set_main(lake, 1)
    with pytest.raises(PositionRefused, match=f"set main back to snapshot {back}") as refused:
        lake.write(writer, [(1, 7)])
    assert "olist sink resolve iceberg --tables notes" in refused.value.hint
    assert f"set main to snapshot {newest} again" in refused.value.hint
    assert [entry.snapshot_id for entry in table(lake).history()][-1] == back


def test_a_writer_that_starts_on_a_table_that_was_set_back_is_refused(lake: Lake) -> None:
    set_main(lake, 0)
    with pytest.raises(PositionRefused, match="lack changes that were committed"):
        lake.writer()


def test_a_rollback_that_is_undone_goes_on_as_if_nothing_had_been(lake: Lake) -> None:
    set_main(lake, 0)
    set_main(lake, 2)
    lake.write(lake.writer(), [(1, 9), (7, 9)])
    assert lake.held() == lake.model


def test_a_compaction_carries_the_positions_and_leaves_a_table_alone_that_was_set_back(lake: Lake) -> None:
    lake.properties(min_input_files="2")
    assert lake.compact().commits > 0
    head = table(lake).current_snapshot()
    assert head is not None
    assert head.summary is not None
    assert head.summary[POSITIONS] == table(lake).properties[POSITIONS]
    set_main(lake, 0)
    with pytest.raises(PositionRefused, match="set main back"):
        lake.compact(lake.job(now_ms=FAR))


def test_commits_of_others_keep_the_positions_below_them_from_expiring(lake: Lake) -> None:
    held = table_positions(table(lake), "notes")
    for _ in range(4):
        append_rows(lake)
    with table(lake).transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": "1"})
    assert lake.job(now_ms=FAR).expire() == 2
    assert table_positions(table(lake), "notes") == held


def test_an_expiry_by_another_engine_that_lost_the_positions_is_named(lake: Lake) -> None:
    append_rows(lake)
    expire(lake, 0, 1, 2)
    with pytest.raises(PositionRefused, match="another engine expired those that did") as refused:
        lake.writer()
    assert "olist sink rebuild iceberg --tables notes" in refused.value.hint


def test_commits_of_others_on_positions_that_spark_expired_show_that_nothing_was_set_back(lake: Lake) -> None:
    append_rows(lake)
    head = table(lake).current_snapshot()
    assert head is not None
    expire(lake, 0, 1, 2)
    now = table(lake)
    parent = {"parent_snapshot_id": head.parent_snapshot_id}  # Java leaves it, PyIceberg does not
    now.metadata = now.metadata.model_copy(update={"snapshots": [head.model_copy(update=parent)]})
    assert table_positions(now, "notes") == highest_positions(now.metadata)


def test_an_expiry_by_another_engine_that_left_the_positions_changes_nothing(lake: Lake) -> None:
    expire(lake, 0, 1)
    lake.write(lake.writer(), [(1, 9)])
    assert lake.held() == lake.model


def test_a_table_of_earlier_versions_goes_on_and_its_next_commit_says_where_it_stands(
    of_earlier_versions: Lake,
) -> None:
    lake = of_earlier_versions
    lake.write(lake.writer(), [(1, 9), (7, 9)])
    head = table(lake).current_snapshot()
    assert head is not None
    assert head.summary is not None
    assert head.summary[POSITIONS] == table(lake).properties[POSITIONS]
    assert lake.held() == lake.model


def test_a_table_of_earlier_versions_whose_snapshots_expired_is_believed(of_earlier_versions: Lake) -> None:
    lake = of_earlier_versions
    expire(lake, 0, 1, 2)
    lake.write(lake.writer(), [(1, 9), (7, 9)])
    assert lake.held() == lake.model


def test_a_table_of_earlier_versions_that_was_compacted_is_believed(of_earlier_versions: Lake) -> None:
    lake = of_earlier_versions
    with table(lake).transaction() as transaction:
        transaction.set_properties({"history.expire.min-snapshots-to-keep": "2"})
    assert lake.job(now_ms=FAR).expire() > 0
    assert table(lake).properties[AUDITED] != "{}"
    lake.write(lake.writer(), [(1, 9), (7, 9)])
    assert lake.held() == lake.model


@pytest.mark.parametrize("number", [0, 3])
def test_a_table_of_earlier_versions_that_was_set_back_is_refused(of_earlier_versions: Lake, number: int) -> None:
    set_main(of_earlier_versions, number)
    with pytest.raises(PositionRefused, match="set main back"):
        of_earlier_versions.writer()


def test_a_table_of_earlier_versions_that_was_set_back_and_written_since_is_refused(
    of_earlier_versions: Lake,
) -> None:
    lake = of_earlier_versions
    now = table(lake)
    head = now.current_snapshot()
    assert head is not None
    assert head.summary is not None
    moved = {"0": [1000, 1001]}
    later = head.model_copy(update={"summary": head.summary})
    later.summary[MOVED] = str(moved).replace("'", '"')  # type: ignore[index]
    with pytest.raises(Stopped, match="changes are lost"):
        table_positions(now, "notes")


def test_a_sink_of_an_earlier_version_beside_this_one_is_followed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        as_earlier_versions(patch)
        lake.write(lake.writer(), [(1, 8), (2, 8)])
    lake.write(lake.writer(), [(1, 9), (7, 9)])
    assert lake.held() == lake.model


def test_a_property_that_lags_is_no_reason_to_refuse(lake: Lake) -> None:
    now, writer = table(lake), lake.writer()
    lake.write(writer, [(1, 5)])
    behind = SetPropertiesUpdate(updates={POSITIONS: now.properties[POSITIONS]})
    lake.catalog.commit_table(table(lake), (), (behind,))
    fresh = LakeTable(lake.catalog, lake.contract)
    assert fresh.open() == writer.positions
