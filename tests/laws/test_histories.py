"""The law of laws: whatever the changes and however they are cut into batches, the target holds the latest rows.

Random histories in random batches, with processes that die after staging and start again.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olist.contracts import FIRST_MICROS, LAST_MICROS, Contract
from tests.laws.parcels import PARTITIONS, Item, Taken, delete, fresh, parcel, tombstone, upsert
from tests.laws.targets import Bench, latest, stage, write

Step = tuple[str, tuple[Any, ...], dict[str, Any]]  # op (u, d or t for a lone tombstone), key, other columns

# No NUL: PostgreSQL refuses it, which is the refusals' law.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
keys = st.tuples(st.sampled_from(["a", "b", "ç", "a|b", "😀"]), st.sampled_from([1, 2]))
moments = st.integers(FIRST_MICROS, LAST_MICROS)
lists = st.lists(
    st.builds(
        Item,
        sku=texts,
        pieces=st.integers(-(2**31), 2**31 - 1),
        serial=st.none() | st.integers(-(2**63), 2**63 - 1),
        price=st.none() | st.decimals("-9999999999.99", "9999999999.99", places=2),
        weight_g=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        packed_at=st.none() | moments,
        words=st.none() | texts,
    ),
    max_size=3,
)
values = st.fixed_dictionaries(
    {},
    optional={
        "label": texts,
        "weight_g": st.integers(-(2**63), 2**63 - 1),
        "price": st.none() | st.decimals("-9999999999.99", "9999999999.99", places=2),
        "latitude": st.none() | st.floats(-90, 90),
        "sent_at": moments,
        "arrived_at": st.none() | moments,
        "note": st.none() | texts,
        "items": lists,
        "returned": st.none() | lists,
    },
)
upserted: st.SearchStrategy[Step] = st.tuples(st.just("u"), keys, values)
deleted: st.SearchStrategy[Step] = st.tuples(st.sampled_from("dt"), keys, st.just({}))
histories: st.SearchStrategy[list[Step]] = st.lists(st.one_of(upserted, upserted, deleted), max_size=30)
# How many records each batch takes, and whether its process dies after staging it and another reads it again.
cuts = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=30)


def records_of(contract: Contract, history: list[Step]) -> list[Taken]:
    """The history on its topic."""
    made: list[Taken] = []
    for offset, (op, key, row) in enumerate(history):
        if op == "u":
            made.append(upsert(contract, parcel(*key, **row), offset * 3))  # offsets have holes
        else:
            made.append((delete if op == "d" else tombstone)(contract, key, offset * 3))
    return made


def run(bench: Bench, contract: Contract, records: list[Taken], cuts: list[tuple[int, bool]]) -> None:
    """Write all records, batch by batch."""
    table, held, turn = bench.opened(contract), None, 0
    while records:
        size, dies = cuts[turn % len(cuts)]
        turn += 1
        if dies and turn <= len(cuts):
            stage(table, records[:size])
            table.close()
            table = bench.connect(contract)
            held = table.open()
            table.assign(frozenset(range(PARTITIONS)))
        held = write(table, records[:size], held)
        records = records[size:]
    table.close()


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories, cuts=cuts)
def test_the_target_holds_the_latest_row_of_each_key(
    bench: Bench, history: list[Step], cuts: list[tuple[int, bool]]
) -> None:
    contract = fresh()
    records = records_of(contract, history)
    try:
        run(bench, contract, records, cuts)
        assert bench.rows(contract) == latest(contract, records)
    finally:
        table = bench.connect(contract)
        table.drop()
        table.close()
