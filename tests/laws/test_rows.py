"""Laws about rows: the target holds the last change of each key, to the letter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from olist.batches import OFFSET, PARTITION
from olist.contracts import FIRST_MICROS, LAST_MICROS, Contract
from tests.laws.parcels import PARTITIONS, Item, Parcel, delete, neighbour, parcel, tombstone, upsert, upserts
from tests.laws.targets import Bench, latest, stage, write


def test_the_last_change_of_a_batch_wins(bench: Bench, parcels: Contract) -> None:
    records = upserts(parcels, [parcel(label=label) for label in ("one", "two", "three")])
    write(bench.opened(parcels), records)
    assert bench.rows(parcels) == latest(parcels, records)


def test_a_later_batch_replaces_the_whole_row(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, [upsert(parcels, parcel(note="some words", arrived_at=5, price=Decimal("1.00")), 0)])
    records = [upsert(parcels, parcel(note=None, arrived_at=None, price=None, weight_g=7), 1)]
    write(table, records, held)
    assert bench.rows(parcels) == latest(parcels, records)


def test_every_column_of_the_key_counts(bench: Bench, parcels: Contract) -> None:
    keys = [("a", 1), ("a", 2), ("a|1", 1), ("a", 11), ("a|", 1), ("a\\", 1), ("a\\|1", 1), ('a"', 1), ("ä 😀", -1)]
    records = upserts(parcels, [parcel(name, leg) for name, leg in keys])
    write(bench.opened(parcels), records)
    assert set(bench.rows(parcels)) == set(keys)


def test_a_deleted_row_is_gone(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, upserts(parcels, [parcel("gone"), parcel("stays")]))
    write(table, [delete(parcels, ("gone", 1), 5), tombstone(parcels, ("gone", 1), 6)], held)
    assert set(bench.rows(parcels)) == {("stays", 1)}


def test_a_row_that_comes_and_goes_in_one_batch_was_never_there(bench: Bench, parcels: Contract) -> None:
    write(bench.opened(parcels), [upsert(parcels, parcel(), 0), delete(parcels, ("p1", 1), 1)])
    assert bench.rows(parcels) == {}


def test_a_row_that_goes_and_comes_back_is_there(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, [upsert(parcels, parcel(), 0)])
    held = write(table, [delete(parcels, ("p1", 1), 1), upsert(parcels, parcel(label="back"), 2)], held)
    held = write(table, [delete(parcels, ("p1", 1), 3)], held)
    write(table, [upsert(parcels, parcel(label="back again"), 4)], held)
    assert bench.rows(parcels)["p1", 1]["label"] == "back again"


def test_deleting_what_is_not_there_is_fine(bench: Bench, parcels: Contract) -> None:
    write(bench.opened(parcels), [delete(parcels, ("nobody", 1), 0), upsert(parcels, parcel("somebody"), 1)])
    assert set(bench.rows(parcels)) == {("somebody", 1)}


def test_an_older_change_never_overwrites_a_newer(bench: Bench, parcels: Contract) -> None:
    """No runner reads backward; a hand-made batch does, and the row's own offset decides."""
    table = bench.opened(parcels)
    held = write(table, [upsert(parcels, parcel(label="newer"), 10)])
    write(table, [upsert(parcels, parcel(label="older"), 3), upsert(parcels, neighbour(), 11)], held)
    assert bench.rows(parcels)["p1", 1]["label"] == "newer"


def test_an_older_delete_never_removes_a_newer_row(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, [upsert(parcels, parcel(label="newer"), 10)])
    write(table, [delete(parcels, ("p1", 1), 3), upsert(parcels, neighbour(), 11)], held)
    assert bench.rows(parcels)["p1", 1]["label"] == "newer"


def test_a_batch_that_is_read_again_changes_nothing(bench: Bench, parcels: Contract) -> None:
    """As after a crash between the rows and the positions, where those are two steps."""
    records = [*upserts(parcels, [parcel(f"p{n}") for n in range(9)]), delete(parcels, ("p1", 1), 9)]
    crashed = bench.opened(parcels)
    stage(crashed, records)
    crashed.close()
    write(bench.opened(parcels), records)
    assert bench.rows(parcels) == latest(parcels, records)


TEXTS = [
    "",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "\\",
    "\\N",
    "\\.",
    "\\n",
    '"',
    '""',
    "'",
    ",",
    "null",
    "NULL",
    "{}",
    "[1]",
    "ação, coração e pão de açúcar",
    "e\u0301 is not é",
    "😀👩‍👩‍👧 🇧🇷",
    "\u2028\u2029\ufeff\u200b",
    "\x01\x1f\x7f\x85",
    " leading and trailing ",
    'line one\r\n"quoted", line two\nline three\\',
    "x" * 100_000,
    "<b>&amp;</b>",
    "２０１７",
    "2017-10-02 10:56:33",
    "1e5",
    "true",
]


def test_texts_are_kept_to_the_letter(bench: Bench, parcels: Contract) -> None:
    records = upserts(parcels, [parcel(f"p{n}", label=text, note=text) for n, text in enumerate(TEXTS)])
    records = [*records, upsert(parcels, parcel("null", note=None), len(TEXTS))]
    write(bench.opened(parcels), records)
    assert bench.rows(parcels) == latest(parcels, records)


def test_texts_in_keys_are_kept_to_the_letter(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    texts = [text for text in TEXTS if 0 < len(text) < 100]
    records = upserts(parcels, [parcel(text) for text in texts])
    held = write(table, records)
    assert bench.rows(parcels) == latest(parcels, records)
    gone = [delete(parcels, (text, 1), 1000 + n) for n, text in enumerate(texts)]
    write(table, gone, held)
    assert bench.rows(parcels) == {}


EXTREMES: list[dict[str, Any]] = [
    {"price": Decimal(text)} for text in ("0.00", "-0.01", "0.1", "9999999999.99", "-9999999999.99", "5")
]
EXTREMES += [{"weight_g": number} for number in (0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63))]
EXTREMES += [{"leg": number} for number in (0, 2**31 - 1, -(2**31))]
EXTREMES += [{"longitude": number} for number in (0.1, 1 / 3, -179.99999999999997, 5e-324, 123.45678901234567)]
MOMENTS = (FIRST_MICROS, LAST_MICROS, 0, -1, 1, 1_506_941_793_000_001, 951_782_400_000_000, -2_208_988_800_000_001)
EXTREMES += [{"sent_at": moment, "arrived_at": moment} for moment in MOMENTS]


LIST_EXTREMES = [
    (2**31 - 1, 2**63 - 1, Decimal("9999999999.99"), 1.7976931348623157e308, LAST_MICROS),
    (-(2**31), -(2**63), Decimal("-9999999999.99"), -5e-324, FIRST_MICROS),
    (0, 0, Decimal("0.00"), 1e22, 1_506_941_793_000_001),
    (1, None, None, None, None),
]


def test_numbers_and_moments_are_kept_exactly(bench: Bench, parcels: Contract) -> None:
    rows: list[Parcel] = [parcel(f"p{n}", **values) for n, values in enumerate(EXTREMES)]
    records = upserts(parcels, rows)
    write(bench.opened(parcels), records)
    assert bench.rows(parcels) == latest(parcels, records)


def test_lists_are_kept_exactly(bench: Bench, parcels: Contract) -> None:
    full = [Item(f"sku{n}", n, 2**53 + n, Decimal(n).scaleb(-2), n / 3, n - 1, text) for n, text in enumerate(TEXTS)]
    ends = [Item("", *numbers) for numbers in LIST_EXTREMES]
    lists: list[list[Item]] = [[], full, ends, full[::-1], full[:1], [Item("bare", 0)], [Item("twice", 1)] * 2]
    rows = [parcel(f"p{n}", items=items, returned=items or None) for n, items in enumerate(lists)]
    records = upserts(parcels, [*rows, parcel("none", returned=[])])
    write(bench.opened(parcels), records)
    assert bench.rows(parcels) == latest(parcels, records)
    assert bench.rows(parcels)["none", 1]["returned"] == []
    assert bench.rows(parcels)["p0", 1]["returned"] is None
    assert bench.rows(parcels)["p2", 1]["items"][0]["price"] == Decimal("9999999999.99")


def test_a_list_is_replaced_as_a_whole_and_goes_with_its_row(bench: Bench, parcels: Contract) -> None:
    table = bench.opened(parcels)
    held = write(table, upserts(parcels, [parcel(items=[Item("a", 1), Item("b", 2)]), neighbour()]))
    shorter = [upsert(parcels, parcel(items=[Item("b", 3)]), 5)]
    held = write(table, shorter, held)
    assert bench.rows(parcels)["p1", 1] == latest(parcels, shorter)["p1", 1]
    write(table, [delete(parcels, ("p1", 1), 6)], held)
    assert ("p1", 1) not in bench.rows(parcels)


def test_a_row_says_which_change_made_it(bench: Bench, parcels: Contract) -> None:
    records = upserts(parcels, [parcel(f"p{n}") for n in range(PARTITIONS * 3)], first_offset=2**40)
    write(bench.opened(parcels), records)
    found = {(row[PARTITION], row[OFFSET]) for row in bench.rows(parcels).values()}
    assert found == {(record.partition(), record.offset()) for record in records}


@pytest.mark.parametrize("size", [1, 3000])
def test_batches_of_any_size_land(bench: Bench, parcels: Contract, size: int) -> None:
    records = upserts(parcels, [parcel(f"p{n % 2000}", label=str(n)) for n in range(size)])
    write(bench.opened(parcels), records)
    assert bench.rows(parcels) == latest(parcels, records)
