from __future__ import annotations

from decimal import Decimal

import pytest

from olist.contracts import Column, Contract, Evolution, Int, Integer, Money, Row, Str, Text, evolve
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
