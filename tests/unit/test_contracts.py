from __future__ import annotations

from decimal import Decimal

import pytest

from olist.contracts import Column, Contract, Evolution, Int, Integer, ListOf, Money, Price, Row, Str, Text, evolve
from olist.errors import ContractRefused
from olist.tables import ORDER_ITEMS, ORDERS, TABLES

OLD = (Column("id", Text(), False), Column("n", Integer(32), False), Column("paid", Money(12, 2), True))


def test_every_table_of_the_data_set_has_a_contract_and_a_key_that_is_never_null() -> None:
    assert len(TABLES) == 9
    for contract in TABLES.values():
        assert contract.key
        assert not any(column.nullable for column in contract.key_columns)


def test_a_contract_reads_types_and_nullability_off_the_annotations() -> None:
    columns = {column.name: column for column in ORDER_ITEMS.columns}
    assert columns["price"] == Column("price", Money(12, 2), False)
    assert {c.name for c in ORDERS.columns if c.nullable} == {
        "order_approved_at",
        "order_delivered_carrier_date",
        "order_delivered_customer_date",
    }


def test_an_added_optional_column_and_a_widening_are_taken() -> None:
    new = (*OLD[:1], Column("n", Integer(64), False), Column("paid", Money(14, 2), True), Column("note", Text(), True))
    assert evolve("t", OLD, new) == Evolution(added=new[3:], widened=new[1:3])


def test_a_column_that_may_now_be_null_is_loosened() -> None:
    new = (OLD[0], Column("n", Integer(32), True), OLD[2])
    assert evolve("t", OLD, new) == Evolution(loosened=(new[1],))


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (OLD[:2], "paid is gone"),
        ((*OLD, Column("must", Text(), False)), "must is new and not optional"),
        ((OLD[0], Column("n", Text(), False), OLD[2]), "n was Integer(bits=32), is now Text"),
        ((*OLD[:2], Column("paid", Money(10, 2), True)), "paid was Money(precision=12"),
        ((*OLD[:2], Column("paid", Money(12, 3), True)), "paid was Money(precision=12"),
        ((*OLD[:2], Column("paid", Money(12, 2), False)), "paid may no longer be null"),
    ],
)
def test_any_other_change_is_refused_with_both_versions_shown(new: tuple[Column, ...], problem: str) -> None:
    with pytest.raises(ContractRefused) as refused:
        evolve("table t", OLD, new)
    assert problem in str(refused.value)
    assert "there now:" in str(refused.value)
    assert "contract:" in str(refused.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("NaN", "not a number"),
        ("10000000000.00", "digits before the point"),
        ("1E+30", "digits"),
        ("1.234", "decimals"),
    ],
)
def test_a_decimal_that_its_column_cannot_hold_is_named(value: str, problem: str) -> None:
    assert problem in Column("price", Money(12, 2), False).problem(Decimal(value))


@pytest.mark.parametrize("value", ["0", "-0.01", "9999999999.99", "1.5", "1E+3"])
def test_a_decimal_that_fits_is_no_problem(value: str) -> None:
    assert Column("price", Money(12, 2), False).problem(Decimal(value)) == ""


def test_a_contract_that_names_a_column_it_does_not_have_is_refused() -> None:
    class Thing(Row):
        id: Str
        n: Int | None

    with pytest.raises(ContractRefused, match="no such column: missing"):
        Contract("things", Thing, key=("missing",))
    with pytest.raises(ContractRefused, match="cannot be null: n"):
        Contract("things", Thing, key=("n",))


class Line(Row):
    product: Str
    price: Price


class Basket(Row):
    basket_id: Str
    lines: list[Line]
    returned: list[Line] | None


LINES = ListOf((Column("product", Text(), False), Column("price", Money(12, 2), False)))


def test_a_list_of_rows_is_a_column() -> None:
    contract = Contract("baskets", Basket, key=("basket_id",))
    assert contract.columns[1:] == (Column("lines", LINES, False), Column("returned", LINES, True))


class Deep(Row):
    baskets: list[Basket]


class Words(Row):
    words: list[Str]


class Gaps(Row):
    lines: list[Line | None]


class Void(Row):
    rows: list[Row]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Deep, "Basket holds lists itself (lines, returned)"),
        (Words, "a list of typing.Annotated[str"),
        (Gaps, "a list of tests.unit.test_contracts.Line | None"),
        (Void, "Row has no columns"),
    ],
)
def test_lists_that_no_target_could_hold_are_refused(row: type[Row], told: str) -> None:
    with pytest.raises(ContractRefused) as refused:
        Contract("things", row, key=())
    assert told in str(refused.value)


def test_a_list_is_neither_key_nor_order() -> None:
    with pytest.raises(ContractRefused, match="neither key nor order nor time can be a list: lines"):
        Contract("baskets", Basket, key=("basket_id",), sort_by=("lines",))


def test_a_decimal_in_a_list_that_its_column_cannot_hold_is_named() -> None:
    column = Column("lines", LINES, True)
    lines = [Line("a", Decimal(1)), Line("b", Decimal("1.234"))]
    assert column.problem(lines) == "lines[1].price is 1.234: more than 2 decimals"
    assert column.problem(lines[:1]) == column.problem([]) == column.problem(None) == ""


def test_rows_in_a_list_take_optional_columns_at_their_end_and_wider_ones() -> None:
    old = (OLD[0], Column("lines", LINES, False))
    more = ListOf((Column("product", Text(), True), Column("price", Money(14, 2), False), Column("n", Integer(), True)))
    new = (OLD[0], Column("lines", more, False))
    assert evolve("t", old, new) == Evolution(widened=new[1:])
    assert evolve("t", new, new) == Evolution()


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (LINES.columns[:1], "lines[].price is gone"),
        ((*LINES.columns, Column("n", Integer(), False)), "lines[].n is new and not optional"),
        ((LINES.columns[0], Column("price", Money(10, 2), False)), "lines[].price was Money(precision=12"),
        ((Column("n", Integer(), True), *LINES.columns), "lines[].n stands where another column was"),
        (LINES.columns[::-1], "lines[].price stands where another column was"),
    ],
)
def test_another_change_of_rows_in_a_list_is_refused(columns: tuple[Column, ...], problem: str) -> None:
    with pytest.raises(ContractRefused) as refused:
        evolve("table t", (Column("lines", LINES, False),), (Column("lines", ListOf(columns), False),))
    assert problem in str(refused.value)
