"""Laws about positions: what a target holds of a topic, and whom it lets move them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from olist.contracts import Contract
from olist.errors import Fenced, ServerTrouble
from olist.positions import Positions
from tests.laws.parcels import PARTITIONS, Taken, delete, parcel, partition_of, topic_of, upsert, upserts
from tests.laws.targets import Bench, latest, stage, start_of, write


def test_a_fresh_table_has_no_positions(bench: Bench, parcels: Contract) -> None:
    assert bench.connect(parcels).open() is None


def test_opening_twice_changes_nothing(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, upserts(parcels, [parcel()]))
    assert [table.open(), table.open()] == [held, held]


def test_after_a_commit_the_table_holds_the_next_offset_of_every_partition(bench: Bench, parcels: Contract) -> None:
    records = upserts(parcels, [parcel(f"p{n}") for n in range(20)])
    held = write(bench.opened(parcels), records)
    assert held == bench.connect(parcels).open()
    assert held.next == {**dict.fromkeys(range(PARTITIONS), 0), **{r.partition(): r.offset() + 1 for r in records}}


def test_a_staged_batch_without_a_commit_moves_no_position(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, upserts(parcels, [parcel("before")]))
    stage(table, upserts(parcels, [parcel("after")], first_offset=10))
    assert bench.connect(parcels).open() == held
    if bench.target.transactional:
        assert set(bench.rows(parcels)) == {("before", 1)}


def test_a_stage_that_was_given_up_leaves_nothing_for_the_next_commit(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    stage(table, upserts(parcels, [parcel("given up"), parcel("kept")]))
    write(table, upserts(parcels, [parcel("kept")], first_offset=1))
    if bench.target.transactional:
        assert set(bench.rows(parcels)) == {("kept", 1)}


def test_what_was_staged_before_the_table_was_opened_again_is_not_committed(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, upserts(parcels, [parcel("before")]))
    late = stage(table, upserts(parcels, [parcel("after")], first_offset=10))
    table.open()
    table.assign(frozenset(range(PARTITIONS)))
    with pytest.raises(ServerTrouble, match="opened again"):
        late(held)
    assert bench.connect(parcels).open() == held
    if bench.target.transactional:
        assert set(bench.rows(parcels)) == {("before", 1)}


def test_records_that_nobody_can_read_move_only_the_positions(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, upserts(parcels, [parcel()]))
    before = bench.rows(parcels)
    moved = write(table, [Taken(b"no key", b"no envelope", 0, 77)], held)
    assert moved.next == {**held.next, 0: 78}
    assert bench.connect(parcels).open() == moved
    assert bench.rows(parcels) == before


def test_a_zombies_commit_is_refused_and_writes_nothing(bench: Bench, parcels: Contract) -> None:
    zombie, heir = bench.opened(parcels), bench.opened(parcels)
    held = write(zombie, upserts(parcels, [parcel(label="both know this")]))
    late = stage(zombie, [upsert(parcels, parcel(label="the zombie's"), 1), delete(parcels, ("p1", 1), 2)])
    heir.open()
    heir.assign(frozenset(range(PARTITIONS)))
    now = write(heir, [upsert(parcels, parcel(label="the heir's"), offset) for offset in (1, 5)], held)
    with pytest.raises(Fenced, match=r"expected 1, found 6"):
        late(held)
    assert bench.connect(parcels).open() == now
    assert bench.rows(parcels)["p1", 1]["label"] == "the heir's"


def test_of_two_first_commits_one_is_refused(bench: Bench, parcels: Contract) -> None:
    one, two = bench.opened(parcels), bench.opened(parcels)
    records = upserts(parcels, [parcel()])
    late = stage(two, records)
    held = write(one, records)
    with pytest.raises(Fenced):
        late(start_of(parcels))
    assert bench.connect(parcels).open() == held


def test_a_refused_zombie_that_opens_again_may_go_on(bench: Bench, parcels: Contract) -> None:
    zombie, heir = bench.opened(parcels), bench.opened(parcels)
    late = stage(zombie, upserts(parcels, [parcel()]))
    write(heir, upserts(parcels, [parcel()]))
    with pytest.raises(Fenced):
        late(start_of(parcels))
    held = zombie.open()
    zombie.assign(frozenset(range(PARTITIONS)))
    write(zombie, [upsert(parcels, parcel(label="later"), 9)], held)
    assert bench.rows(parcels)["p1", 1]["label"] == "later"


def test_two_processes_write_their_own_partitions_side_by_side(bench: Bench, parcels: Contract) -> None:
    records = list(upserts(parcels, [parcel(f"p{n}") for n in range(40)]))
    halves = ([r for r in records if r.partition() < 2], [r for r in records if r.partition() >= 2])
    tables = (bench.opened(parcels, frozenset({0, 1})), bench.opened(parcels, frozenset({2, 3})))
    held: list[Positions] = [start_of(parcels), start_of(parcels)]
    for begin in range(0, 20, 5):
        commits = [stage(table, half[begin : begin + 5]) for table, half in zip(tables, halves, strict=True)]
        for side in (1, 0) if begin % 2 else (0, 1):
            held[side] = commits[side](held[side])
    last = [r for half in halves for r in half[:20]]
    assert bench.rows(parcels) == latest(parcels, last)
    assert bench.connect(parcels).open() == start_of(parcels).advanced({r.partition(): r.offset() + 1 for r in last})


def test_two_processes_may_open_and_commit_at_the_same_moment(bench: Bench, parcels: Contract) -> None:
    records = upserts(parcels, [parcel(f"p{n}", label=str(round)) for round in range(3) for n in range(60)])
    together = Barrier(2, timeout=60)

    def carry(partitions: frozenset[int]) -> None:
        mine = [record for record in records if record.partition() in partitions]
        together.wait()
        table, held = bench.opened(parcels, partitions), start_of(parcels)
        for begin in range(0, len(mine), 15):
            held = write(table, mine[begin : begin + 15], held)
        table.close()

    with ThreadPoolExecutor(2) as processes:
        list(processes.map(carry, (frozenset({0, 1}), frozenset({2, 3}))))
    assert bench.rows(parcels) == latest(parcels, records)
    assert bench.connect(parcels).open() == start_of(parcels).advanced({r.partition(): r.offset() + 1 for r in records})


def test_a_dropped_table_is_fresh_again(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    write(table, [upsert(parcels, parcel(), 50)])
    table.drop()
    assert table.open() is None
    table.assign(frozenset(range(PARTITIONS)))
    assert bench.rows(parcels) == {}
    write(table, [upsert(parcels, parcel(label="read again"), 3)])
    assert bench.rows(parcels)["p1", 1]["label"] == "read again"


def test_dropping_what_is_not_there_is_fine(bench: Bench, parcels: Contract) -> None:
    table = bench.connect(parcels)
    table.drop()
    table.close()
    table.close()
    assert table.open() is None


def test_a_process_that_outlived_a_drop_is_refused(bench: Bench, parcels: Contract) -> None:
    old, new = bench.opened(parcels), bench.opened(parcels)
    held = write(old, upserts(parcels, [parcel()]))
    new.drop()
    assert new.open() is None
    new.assign(frozenset(range(PARTITIONS)))
    late = stage(old, [upsert(parcels, parcel(), 8)])
    with pytest.raises(Fenced):
        late(held)
    assert bench.connect(parcels).open() is None


def test_the_topic_is_known_by_its_id(bench: Bench, parcels: Contract) -> None:
    held = write(bench.opened(parcels), upserts(parcels, [parcel()]))
    assert (held.topic, held.topic_id) == (topic_of(parcels), start_of(parcels).topic_id)
    other = Positions(held.topic, "topic-made-again", held.next)
    table = bench.opened(parcels)
    late = stage(table, [upsert(parcels, parcel(label="of another topic"), 4)])
    with pytest.raises(Fenced, match="topic-made-again"):
        late(other)


def test_a_partition_without_changes_keeps_its_place(bench: Bench, parcels: Contract) -> None:
    record = upsert(parcels, parcel(), 41)
    held = write(bench.opened(parcels), [record])
    assert held.next == {**dict.fromkeys(range(PARTITIONS), 0), partition_of(("p1", 1)): 42}
