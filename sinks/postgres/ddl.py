"""A contract's table as PostgreSQL DDL. Pure: text out of contracts, no connection.

The tables live in a schema of their own. It is not called after the default user: `"$user"` stands first in the search
path, and unqualified names of the source tables and of the lake's catalog in the same database would land in it.
"""

from __future__ import annotations

import msgspec

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Column, Contract, Evolution, Float, Integer, ListOf, Money, Text, Timestamp, Type
from sinks.column_json import columns_json

SCHEMA = "warehouse"

# Beside the contract's columns, so that any row can be traced to the change that made it.
TRACE: dict[str, str] = {PARTITION: "integer", OFFSET: "bigint", COMMITTED_AT: "timestamp"}


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
    """``COMMENT``s that say what rows are in lists, which ``jsonb`` does not; `columns.live_columns` reads them."""
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
