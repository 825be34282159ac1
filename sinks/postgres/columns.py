"""The live table's columns, read back as contract columns, so that the contract's own rules judge a change."""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from olist.contracts import Column, Contract, Float, Integer, ListOf, Money, Text, Timestamp, Type
from olist.errors import ContractRefused
from sinks.column_json import columns_from_json
from sinks.postgres.ddl import SCHEMA, TRACE, table_name

COLUMNS = b"""
SELECT column_name, data_type, numeric_precision, numeric_scale,
  col_description(format('%%I.%%I', table_schema, table_name)::regclass, ordinal_position), is_nullable = 'YES'
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
PRIMARY_KEY = b"""
SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place), pg_attribute a
WHERE i.indrelid = %s::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.place
"""


def live_columns(connection: psycopg.Connection, contract: Contract) -> tuple[Column, ...]:
    """The contract's columns as the table has them; empty when there is no table.

    Raises:
        ContractRefused: a type that no contract has, another primary key, or a table that is not ours.
    """
    rows = connection.execute(COLUMNS, (SCHEMA, contract.table)).fetchall()
    if not rows:
        return ()
    if missing := TRACE.keys() - {name for name, *_ in rows}:
        raise ContractRefused(
            f"postgres {table_name(contract)}: a table of another make is there; it lacks {', '.join(sorted(missing))}",
            hint="rename or drop it",
        )
    _check_key(connection, contract)
    return tuple(
        Column(name, contract_type(f"{table_name(contract)}.{name}", *kind), nullable)
        for name, *kind, nullable in rows
        if name not in TRACE
    )


def contract_type(
    where: str, data_type: str, precision: int | None, scale: int | None, note: str | None = None
) -> Type:
    """The contract type that `ddl.sql_type` writes as this one; `note` is the column's comment.

    Raises:
        ContractRefused: there is none.
    """
    match data_type, precision, scale:
        case "text", _, _:
            return Text()
        case "integer", _, _:
            return Integer(32)
        case "bigint", _, _:
            return Integer(64)
        case "double precision", _, _:
            return Float()
        case "numeric", int(), int():
            return Money(precision, scale)
        case "timestamp without time zone", _, _:
            return Timestamp()
        case "jsonb", _, _:
            return _list_of(where, note)
        case _:
            raise ContractRefused(f"postgres {where} is {data_type}, which is no type of a contract's column")


def _list_of(where: str, note: str | None) -> ListOf:
    """What `ddl.note` wrote."""
    try:
        return ListOf(columns_from_json(msgspec.json.decode(note or "")))
    except (msgspec.DecodeError, ValueError, TypeError, KeyError) as error:
        raise ContractRefused(
            f"postgres {where} is jsonb without the comment that says which rows its lists hold",
            hint="put the comment back, or rebuild the table from the topic",
        ) from error


def _check_key(connection: psycopg.Connection, contract: Contract) -> None:
    found: list[tuple[Any, ...]] = connection.execute(PRIMARY_KEY, (table_name(contract),)).fetchall()
    key = tuple(name for (name,) in found)
    if key != contract.key:
        raise ContractRefused(
            f"postgres {table_name(contract)}: the key there is ({', '.join(key)}), "
            f"the contract's is ({', '.join(contract.key)})",
            hint=f"`olist sink rebuild postgres --tables {contract.table}` reads the topic into a new table",
        )
