"""A contract's table in PostgreSQL: its DDL, and the live table's columns read back as contract columns.

The contract's own rules judge a change between the two. The tables live in a schema of their own. It is not called
after the default user: `"$user"` stands first in the search path, and unqualified names of the source tables and of the
lake's catalog in the same database would land in it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Column, Contract, Evolution, Float, Integer, ListOf, Money, Text, Timestamp, Type
from olist.errors import ContractRefused
from sinks.column_json import columns_from_json, columns_json

SCHEMA = "warehouse"

# One process at a time changes the schema: CREATE ... IF NOT EXISTS alone fails when two do it at once.
ALONE = b"SELECT pg_advisory_xact_lock(hashtext('olist sink schema'))"

# Beside the contract's columns, so that any row can be traced to the change that made it.
TRACE: dict[str, str] = {PARTITION: "integer", OFFSET: "bigint", COMMITTED_AT: "timestamp"}

COLUMNS = b"""
SELECT column_name, data_type, numeric_precision, numeric_scale,
  col_description(format('%%I.%%I', table_schema, table_name)::regclass, ordinal_position), is_nullable = 'YES'
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position
"""
PRIMARY_KEY = b"""
SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place), pg_attribute a
WHERE i.indrelid = %s::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.place
"""


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: tuple[str, ...], before: str = "") -> str:
    """Identifiers with commas between, each with a prefix such as ``excluded.``."""
    return ", ".join(before + quoted(name) for name in names)


def table_name(contract: Contract) -> str:
    """The qualified name of the contract's table."""
    return f"{SCHEMA}.{quoted(contract.table)}"


def sql_type(kind: Type) -> str:
    """PostgreSQL's type for a contract type; each holds every value of it exactly."""
    match kind:
        case Text():
            return "text"
        case Integer(bits=bits):
            return "integer" if bits == 32 else "bigint"
        case Float():
            return "double precision"
        case Money(precision=precision, scale=scale):
            return f"numeric({precision},{scale})"
        case Timestamp():
            return "timestamp"
        case ListOf():
            return "jsonb"


def column_names(contract: Contract) -> tuple[str, ...]:
    """The table's columns in order: the contract's, then the trace."""
    return (*(column.name for column in contract.columns), *TRACE)


def create_table(contract: Contract) -> str:
    """``CREATE TABLE`` with the contract's key as its primary key."""
    lines = [f"{quoted(c.name)} {sql_type(c.type)}{'' if c.nullable else ' NOT NULL'}" for c in contract.columns]
    lines += [f"{quoted(name)} {kind} NOT NULL" for name, kind in TRACE.items()]
    lines += [f"PRIMARY KEY ({listed(contract.key)})"]
    body = ",\n  ".join(lines)
    return f"CREATE TABLE {table_name(contract)} (\n  {body}\n)"


def comments(contract: Contract) -> str:
    """``COMMENT``s that say what rows are in lists, which ``jsonb`` does not; `live_columns` reads them."""
    lists = ((column.name, column.type) for column in contract.columns if isinstance(column.type, ListOf))
    return "".join(
        f"COMMENT ON COLUMN {table_name(contract)}.{quoted(name)} IS {literal(note(kind))};\n" for name, kind in lists
    )


def note(kind: ListOf) -> str:
    """The columns of a list's rows, as JSON."""
    return msgspec.json.encode(columns_json(kind.columns)).decode()


def literal(text: str) -> str:
    """A string constant."""
    return "'" + text.replace("'", "''") + "'"


def alter_table(contract: Contract, there: tuple[Column, ...], evolution: Evolution) -> str:
    """``ALTER TABLE`` from the columns there to the contract's, or nothing where the table already holds them.

    An added column has no default, so no row is rewritten; a widened integer rewrites the table.
    """
    was = {column.name: column for column in there}
    moves = [f"ADD COLUMN {quoted(c.name)} {sql_type(c.type)}" for c in evolution.added]
    moves += [
        f"ALTER COLUMN {quoted(c.name)} TYPE {sql_type(c.type)}"
        for c in evolution.widened
        if sql_type(c.type) != sql_type(was[c.name].type)
    ]
    moves += [
        f"ALTER COLUMN {quoted(c.name)} DROP NOT NULL"
        for c in contract.columns
        if c.name in was and c.nullable and not was[c.name].nullable
    ]
    return f"ALTER TABLE {table_name(contract)}\n  " + ",\n  ".join(moves) if moves else ""


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
    """The contract type that `sql_type` writes as this one; `note` is the column's comment.

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
    """What `note` wrote."""
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
