"""Laws about rows that one target cannot take: they are named, and their neighbours land."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from olist.contracts import Contract
from tests.laws.parcels import delete, neighbour, parcel, upsert, upserts
from tests.laws.targets import Bench, latest, refusals, write


@pytest.fixture
def poison(bench: Bench) -> Mapping[str, Any]:
    """What the target refuses."""
    if bench.target.poison is None:
        pytest.skip(f"{bench.target.name} refuses no row that a contract takes")
    return bench.target.poison


def test_a_refused_row_is_named_and_the_rest_lands(bench: Bench, parcels: Contract, poison: Mapping[str, Any]) -> None:
    table = bench.opened(parcels)
    rows = [parcel(f"p{n}", **(poison if n in (0, 5, 11) else {})) for n in range(12)]
    records = upserts(parcels, rows)
    told = refusals(table, records)
    assert [refusal.row for refusal in told] == [0, 5, 11]
    assert all(refusal.reason for refusal in told)
    held = write(table, records)
    assert bench.rows(parcels) == latest(parcels, [r for n, r in enumerate(records) if n not in (0, 5, 11)])
    assert bench.connect(parcels).open() == held


def test_a_batch_of_refused_rows_moves_only_the_positions(
    bench: Bench, parcels: Contract, poison: Mapping[str, Any]
) -> None:
    held = write(bench.opened(parcels), upserts(parcels, [parcel(f"p{n}", **poison) for n in range(3)]))
    assert bench.rows(parcels) == {}
    assert bench.connect(parcels).open() == held


def test_a_refused_change_does_not_hide_the_one_before_it(
    bench: Bench, parcels: Contract, poison: Mapping[str, Any]
) -> None:
    records = upserts(parcels, [parcel(weight_g=1), parcel(weight_g=2), parcel(**poison), neighbour()])
    write(bench.opened(parcels), records)
    assert bench.rows(parcels)["p1", 1]["weight_g"] == 2


def test_a_change_after_a_refused_one_wins(bench: Bench, parcels: Contract, poison: Mapping[str, Any]) -> None:
    records = [upsert(parcels, parcel(**poison), 0), upsert(parcels, parcel(label="mended"), 1)]
    write(bench.opened(parcels), records)
    assert bench.rows(parcels)["p1", 1]["label"] == "mended"


def test_a_delete_after_a_refused_change_removes_the_row(
    bench: Bench, parcels: Contract, poison: Mapping[str, Any]
) -> None:
    table = bench.opened(parcels)
    held = write(table, upserts(parcels, [parcel()]))
    write(table, [upsert(parcels, parcel(**poison), 1), delete(parcels, ("p1", 1), 2)], held)
    assert bench.rows(parcels) == {}
