from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.mix import SHAPES, Mix
from olist.batches import OP, decode_batch
from olist.contracts import Contract
from olist.tables import TABLES
from tests.records import FakeRecord

CONTRACTS = [TABLES[name] for name in SHAPES]


def records(contract: Contract, changes: int) -> list[FakeRecord]:
    sent = [record for change in Mix(contract).changes(changes) for record in change]
    return [FakeRecord(record.key, record.value, at) for at, record in enumerate(sent)]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.table)
def test_every_record_is_a_change_that_a_sink_takes(contract: Contract) -> None:
    batch = decode_batch(contract, contract.topic("t"), records(contract, 2_000), 1)
    assert not batch.rejected
    assert not batch.unknown


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.table)
def test_the_same_seed_gives_the_same_bytes(contract: Contract) -> None:
    assert records(contract, 300) == records(contract, 300)


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.table)
def test_the_shares_are_those_of_the_shape(contract: Contract) -> None:
    shape, made = SHAPES[contract.table], 6_000
    envelopes = [record for record in records(contract, made) if record.raw_value is not None]
    ops = Counter(decode_batch(contract, contract.topic("t"), envelopes, 1).frame[OP].to_list())
    assert ops["c"] / made == pytest.approx(shape.inserts, abs=0.03)
    assert ops["d"] / made == pytest.approx(shape.deletes, abs=0.03)


def test_a_deleted_row_never_changes_again() -> None:
    gone: set[bytes] = set()
    for change in Mix(CONTRACTS[0]).changes(5_000):
        assert change[0].key not in gone
        gone |= {record.key for record in change if record.value is None}
    assert gone
