"""The warehouse's DDL, as a pure function of contracts."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import pytest

from olist.contracts import (
    Column,
    Contract,
    Float,
    Int,
    Integer,
    ListOf,
    Long,
    Money,
    Portuguese,
    Price,
    Row,
    Str,
    Text,
    Timestamp,
    Type,
    evolve,
)
from olist.errors import ContractRefused
from sinks.postgres.schema import alter_table, comments, contract_type, create_table, note, quoted, sql_type


class Old(Row):
    """The first version."""

    place: Int
    words: Str
    paid: Price


class New(Row):
    """The second."""

    place: Long
    words: Portuguese | None
    paid: Annotated[Decimal, Money(14, 2)]
    more: Str | None = None


OLD = Contract("things", Old, key=("place",))
NEW = Contract("things", New, key=("place",))


class Line(Row):
    """A row in a list."""

    what: Portuguese
    paid: Price | None


class WithLines(Row):
    """With a list."""

    place: Int
    lines: list[Line]


LINES = ListOf((Column("what", Text("pt"), False), Column("paid", Money(12, 2), True)))


def test_a_table_has_the_contracts_columns_the_trace_and_the_key() -> None:
    assert create_table(OLD).split("\n") == [
        'CREATE TABLE warehouse."things" (',
        '  "place" integer NOT NULL,',
        '  "words" text NOT NULL,',
        '  "paid" numeric(12,2) NOT NULL,',
        '  "_kafka_partition" integer NOT NULL,',
        '  "_kafka_offset" bigint NOT NULL,',
        '  "_committed_at" timestamp NOT NULL,',
        '  PRIMARY KEY ("place")',
        ")",
    ]


def test_a_changed_contract_is_one_statement() -> None:
    evolution = evolve("here", OLD.columns, NEW.columns)
    assert alter_table(NEW, OLD.columns, evolution).split("\n") == [
        'ALTER TABLE warehouse."things"',
        '  ADD COLUMN "more" text,',
        '  ALTER COLUMN "place" TYPE bigint,',
        '  ALTER COLUMN "paid" TYPE numeric(14,2),',
        '  ALTER COLUMN "words" DROP NOT NULL',
    ]


def test_an_unchanged_contract_is_no_statement() -> None:
    assert alter_table(OLD, OLD.columns, evolve("here", OLD.columns, OLD.columns)) == ""


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        (Text("pt"), ("text", None, None)),
        (Integer(32), ("integer", 32, 0)),
        (Integer(64), ("bigint", 64, 0)),
        (Float(), ("double precision", 53, None)),
        (Money(12, 2), ("numeric", 12, 2)),
        (Timestamp(), ("timestamp without time zone", None, None)),
        (LINES, ("jsonb", None, None, note(LINES))),
    ],
)
def test_a_type_is_read_back_as_it_was_written(kind: Type, read: tuple[Any, ...]) -> None:
    assert sql_type(contract_type("here", *read)) == sql_type(kind)


@pytest.mark.parametrize(
    "read", [("jsonb", None, None), ("numeric", None, None), ("timestamp with time zone", None, None)]
)
def test_a_type_that_no_contract_has_is_refused(read: tuple[str, int | None, int | None]) -> None:
    with pytest.raises(ContractRefused, match=f"here is {read[0]}"):
        contract_type("here", *read)


def test_the_rows_of_a_list_are_read_back_from_its_columns_comment() -> None:
    assert contract_type("here", "jsonb", None, None, note(LINES)) == LINES
    assert comments(Contract("things", WithLines, key=("place",))) == (
        'COMMENT ON COLUMN warehouse."things"."lines" IS \'[["what","text:pt",false],["paid","money:12:2",true]]\';\n'
    )
    assert comments(OLD) == ""


@pytest.mark.parametrize("comment", ["", "what was bought", "[]x", '[["a","text"]]', '{"a":1}'])
def test_a_list_whose_comment_says_something_else_is_refused(comment: str) -> None:
    with pytest.raises(ContractRefused, match="here is jsonb without the comment"):
        contract_type("here", "jsonb", None, None, comment)


def test_identifiers_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
