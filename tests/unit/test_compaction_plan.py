from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from compaction.options import MB, Retention, Thresholds, retention, thresholds
from compaction.plan import DataFileStats, DeleteFileStats, plan, plan_deletes, together

LIMITS = Thresholds(tier_floor=0)


def files(*sizes: int, partition: str = "p", deleted: int = 0) -> list[DataFileStats]:
    return [DataFileStats(f"{partition}/{n}", partition, size, 100, deleted) for n, size in enumerate(sizes)]


def planned(facts: list[DataFileStats], limits: Thresholds = LIMITS) -> list[list[str]]:
    return [[file.path for file in group.files] for group in plan(facts, limits)]


def test_five_small_files_become_one_and_four_do_not() -> None:
    assert planned(files(*[MB] * 4)) == []
    assert planned(files(*[MB] * 5)) == [["p/0", "p/1", "p/2", "p/3", "p/4"]]


def test_files_of_the_target_size_are_left_alone() -> None:
    assert planned(files(*[400 * MB] * 20)) == []


def test_a_group_has_no_more_rows_than_memory_can_follow() -> None:
    limits = replace(LIMITS, max_group_rows=250)
    assert planned(files(*[MB] * 6), limits) == [["p/0", "p/1"], ["p/2", "p/3"], ["p/4", "p/5"]]


def test_a_file_that_can_join_no_other_is_not_rewritten_for_nothing() -> None:
    limits = replace(LIMITS, max_group_rows=150)
    assert planned(files(*[MB] * 6), limits) == []
    assert planned(files(*[MB] * 6, deleted=30), limits) == [[f"p/{n}"] for n in range(6)]


def test_small_files_that_fill_a_target_file_are_taken_however_few() -> None:
    assert planned(files(300 * MB, 300 * MB)) == [["p/0", "p/1"]]


def test_a_file_with_three_tenths_of_its_rows_deleted_is_rewritten_by_itself() -> None:
    assert planned(files(400 * MB, deleted=29)) == []
    assert planned(files(400 * MB, deleted=30)) == [["p/0"]]


def test_a_file_far_above_the_target_is_split() -> None:
    assert planned(files(1000 * MB)) == [["p/0"]]


def test_a_large_file_waits_until_the_small_ones_together_are_as_large() -> None:
    small = [MB] * 5
    assert planned(files(*small, 100 * MB)) == [["p/0", "p/1", "p/2", "p/3", "p/4"]]
    assert planned(files(*[20 * MB] * 5, 100 * MB)) == [["p/0", "p/1", "p/2", "p/3", "p/4", "p/5"]]


def test_larger_files_are_packed_although_a_tiny_one_is_there() -> None:
    assert planned(files(1, *[50 * MB] * 5)) == [["p/1", "p/2", "p/3", "p/4", "p/5"]]


def test_partitions_are_not_mixed_and_the_most_profitable_comes_first() -> None:
    found = planned([*files(*[50 * MB] * 6, partition="dear"), *files(*[MB] * 6, partition="cheap")])
    assert [{path.split("/")[0] for path in group} for group in found] == [{"cheap"}, {"dear"}]


def test_one_run_stays_within_its_bytes_but_does_something() -> None:
    facts = [*files(*[50 * MB] * 6, partition="dear"), *files(*[MB] * 6, partition="cheap")]
    assert len(plan(facts, Thresholds(tier_floor=0, max_run=100 * MB))) == 1
    assert len(plan(files(*[50 * MB] * 6), Thresholds(max_run=1))) == 1


def deletes(*rows: tuple[int, int]) -> list[DeleteFileStats]:
    return [DeleteFileStats(f"d{n}", "p", MB, of, live) for n, (of, live) in enumerate(rows)]


def test_delete_files_that_refer_to_nothing_live_are_dropped_alone() -> None:
    assert [[f.path for f in g.files] for g in plan_deletes(deletes((9, 0), (9, 1)), LIMITS)] == [["d0"]]


def test_five_delete_files_of_a_partition_become_one() -> None:
    assert plan_deletes(deletes(*[(9, 9)] * 4), LIMITS) == []
    assert [len(g.files) for g in plan_deletes(deletes(*[(9, 9)] * 5), LIMITS)] == [5]


def test_delete_files_are_merged_up_to_the_rows_that_memory_holds() -> None:
    limits = replace(LIMITS, max_delete_rows=50)
    assert [len(g.files) for g in plan_deletes(deletes(*[(9, 9)] * 12), limits)] == [5, 5]
    assert plan_deletes(deletes(*[(30, 30)] * 12), limits) == []


def test_groups_of_delete_files_are_merged_together_while_their_rows_fit() -> None:
    groups = plan_deletes(deletes((1000, 0), *[(9, 9)] * 15), replace(LIMITS, max_delete_rows=50))
    assert [group.rows for group in groups] == [0, 45, 45, 45]
    assert together(groups, 100) == groups[:3]
    assert together(groups[1:], 10) == groups[1:2]


facts = st.builds(
    DataFileStats,
    path=st.uuids().map(str),
    partition=st.sampled_from("ab"),
    size=st.integers(1, 2000 * MB),
    rows=st.just(100),
    deleted=st.integers(0, 100),
)


@given(st.lists(facts, max_size=40), st.integers(1, 3000 * MB))
def test_every_file_is_in_one_group_at_most_and_groups_stay_in_their_partition(
    facts: list[DataFileStats], most: int
) -> None:
    groups = plan(facts, Thresholds(max_file_group_size=most))
    taken = [file for group in groups for file in group.files]
    assert len({file.path for file in taken}) == len(taken)
    assert all(file.partition == group.partition for group in groups for file in group.files)
    assert all(group.size <= most or len(group.files) == 1 for group in groups)
    assert [group.profit for group in groups] == sorted((group.profit for group in groups), reverse=True)


@given(st.lists(facts, max_size=40))
def test_no_file_that_is_worth_rewriting_by_itself_is_forgotten(facts: list[DataFileStats]) -> None:
    groups = plan(facts, Thresholds(max_run=1 << 60))
    taken = {file.path for group in groups for file in group.files}
    assert taken >= {file.path for file in facts if file.deleted >= 30 or file.size > LIMITS.max_file_size}


def test_thresholds_are_icebergs_unless_the_table_says_otherwise() -> None:
    assert thresholds({}) == Thresholds()
    said = thresholds({"write.target-file-size-bytes": str(100 * MB), "olist.compaction.min-input-files": "2"})
    assert (said.min_file_size, said.max_file_size, said.min_input_files) == (75 * MB, 180 * MB, 2)


def test_keeping_is_read_from_icebergs_own_properties() -> None:
    said = retention({"history.expire.max-snapshot-age-ms": "5", "history.expire.min-snapshots-to-keep": "2"})
    assert said == Retention(max_age_ms=5, min_snapshots=2)
