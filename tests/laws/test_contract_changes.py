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


class Reader(Row):
    """Who read a note."""

    name: Str
    paid: Price


class ReaderWithMore(Row):
    """With wider columns, one that may now be null, and an optional one at the end."""

    name: Str | None
    paid: WiderPrice
    read_at: Micros | None = None


class ReaderOfAge(Row):
    """With a new column that is not optional."""

    name: Str
    paid: Price
    age: Int


class ReadNote(NoteWithMore):
    """With lists."""

    readers: list[Reader] | None = None


class ReadNoteWithMore(NoteWithMore):
    """With lists of wider rows."""

    readers: list[ReaderWithMore] | None = None


class ReadNoteOfAge(NoteWithMore):
    """With lists of rows that nobody can fill."""

    readers: list[ReaderOfAge] | None = None


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
    table.assign(frozenset(range(4)))
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
    table.assign(frozenset(range(4)))
    records = upserts(changed, [WiderNote(2, None, 2**40, Decimal("9999999999999.25"))], 1)
    write(table, records, held)
    assert bench.rows(changed)[1,]["price"] == Decimal("1.50")
    assert bench.rows(changed)[2,] == latest(changed, records)[2,]


def test_an_added_list_and_then_wider_rows_in_it_are_taken_without_a_rebuild(bench: Bench, notes: Contract) -> None:
    price = Decimal("2.50")
    listed, wider = replace(notes, row=ReadNote), replace(notes, row=ReadNoteWithMore)
    table = bench.connect(listed)
    held = table.open()
    table.assign(frozenset(range(4)))
    first = upserts(listed, [ReadNote(2, "new", 4, price, readers=[Reader("ana", price), Reader("bia", price)])], 1)
    write(table, first, held)
    table.close()
    table = bench.connect(wider)
    held = table.open()
    table.assign(frozenset(range(4)))
    readers = [ReaderWithMore(None, Decimal("9999999999999.25"), 7), ReaderWithMore("ana", price)]
    second = upserts(wider, [ReadNoteWithMore(3, "newer", 4, price, readers=readers)], 2)
    write(table, second, held)
    rows = bench.rows(wider)
    assert rows[1,]["readers"] is None
    assert rows[2,]["readers"] == [{"name": name, "paid": price, "read_at": None} for name in ("ana", "bia")]
    assert rows[3,] == latest(wider, second)[3,]
    assert bench.connect(wider).open() is not None
    with pytest.raises(ContractRefused, match=r"readers\[\]\.age is new and not optional"):
        bench.connect(replace(notes, row=ReadNoteOfAge)).open()


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
