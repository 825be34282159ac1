"""Laws about a contract that changes under rows that are already there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Annotated

import pytest

from olist.contracts import Contract, Double, Int, Long, Micros, Money, Portuguese, Price, Row, Str
from olist.errors import ContractRefused
from tests.laws.parcels import fresh, upserts
from tests.laws.targets import Bench, latest, write

WiderPrice = Annotated[Decimal, Money(18, 2)]


class Note(Row):
    """The first version."""

    note_id: Int
    words: Str
    likes: Int
    price: Price


class NoteWithMore(Row):
    """With optional columns."""

    note_id: Int
    words: Str
    likes: Int
    price: Price
    seen_at: Micros | None = None
    answer: Portuguese | None = None


class WiderNote(Row):
    """With wider columns, one of which may now be null."""

    note_id: Int
    words: Str | None
    likes: Long
    price: WiderPrice


class NoteWithDuty(Row):
    """With a new column that is not optional."""

    note_id: Int
    words: Str
    likes: Int
    price: Price
    author: Str


class NoteWithLess(Row):
    """Without a column that is there."""

    note_id: Int
    words: Str
    price: Price


class OtherNote(Row):
    """With a column of another type."""

    note_id: Int
    words: Str
    likes: Double
    price: Price


@pytest.fixture
def notes(bench: Bench) -> Iterator[Contract]:
    """A table with one row, under the first version."""
    contract = fresh(Contract("notes", Note, key=("note_id",)))
    table = bench.opened(contract)
    write(table, upserts(contract, [Note(1, "old", 3, Decimal("1.50"))]))
    table.close()
    yield contract
    table.drop()
    table.close()


def test_an_added_optional_column_is_taken_without_a_rebuild(bench: Bench, notes: Contract) -> None:
    changed = replace(notes, row=NoteWithMore)
    table = bench.connect(changed)
    held = table.open()
    table.own(frozenset(range(4)))
    records = upserts(changed, [NoteWithMore(2, "new", 4, Decimal("2.50"), 1_600_000_000_000_001, "olá")], 1)
    write(table, records, held)
    rows = bench.rows(changed)
    assert rows[1,] | {"seen_at": None, "answer": None} == rows[1,]
    assert rows[1,]["words"] == "old"
    assert rows[2,] == latest(changed, records)[2,]


def test_a_widened_column_is_taken_without_a_rebuild(bench: Bench, notes: Contract) -> None:
    changed = replace(notes, row=WiderNote)
    table = bench.connect(changed)
    held = table.open()
    table.own(frozenset(range(4)))
    records = upserts(changed, [WiderNote(2, None, 2**40, Decimal("9999999999999.25"))], 1)
    write(table, records, held)
    assert bench.rows(changed)[1,]["price"] == Decimal("1.50")
    assert bench.rows(changed)[2,] == latest(changed, records)[2,]


def test_the_changed_contract_opens_again(bench: Bench, notes: Contract) -> None:
    changed = replace(notes, row=NoteWithMore)
    held = bench.connect(changed).open()
    assert bench.connect(changed).open() == held


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (NoteWithDuty, "author is new and not optional"),
        (NoteWithLess, "likes is gone from the contract"),
        (OtherNote, "likes was Integer(bits=32), is now Float()"),
    ],
)
def test_another_change_is_refused_before_a_byte_is_written(
    bench: Bench, notes: Contract, row: type[Row], told: str
) -> None:
    before = bench.rows(notes)
    with pytest.raises(ContractRefused) as refused:
        bench.connect(replace(notes, row=row)).open()
    message = str(refused.value)
    assert told in message
    assert notes.table in message
    assert "there now: note_id Integer(bits=32) not null; words" in message
    assert "contract:  note_id Integer(bits=32) not null; words" in message
    assert bench.opened(notes).contract is notes
    assert bench.rows(notes) == before


def test_another_key_is_refused(bench: Bench, notes: Contract) -> None:
    with pytest.raises(ContractRefused, match="key"):
        bench.connect(replace(notes, key=("note_id", "words"))).open()
