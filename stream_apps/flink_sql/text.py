"""Pieces of Flink SQL as text: names, literals, types, and JSON spelt by SQL functions.

Money leaves as a string of exactly its scale, timestamps as integers: what `olist.changes` decodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from olist.contracts import Column, Float, Integer, ListOf, Money, Text, Timestamp, Type

NUMBER_WIDTH = 20
"""Characters of a number in `sortable`: those of the largest BIGINT, and its sign."""


def quoted(name: str) -> str:
    """An identifier."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A character literal."""
    return "'" + text.replace("'", "''") + "'"


def sql_type(kind: Type) -> str:
    """Flink's type for a contract type, as it is on the wire and in a view."""
    match kind:
        case Text():
            return "STRING"
        case Integer(bits=bits):
            return "INT" if bits == 32 else "BIGINT"
        case Float():
            return "DOUBLE"
        case Money(precision=precision, scale=scale):
            return f"DECIMAL({precision}, {scale})"
        case Timestamp():
            return "BIGINT"
        case ListOf(columns=columns):
            return f"ARRAY<{row_type(columns)}>"


def row_type(columns: Iterable[Column]) -> str:
    """A ROW of these columns, each of which may be null."""
    return f"ROW<{', '.join(f'{quoted(c.name)} {sql_type(c.type)}' for c in columns)}>"


def json_value(expression: str, kind: Type) -> str:
    """An expression for the JSON of a value; never NULL, which would make all of the text NULL."""
    match kind:
        case Text() | Float():
            text = f"JSON_STRING({expression})"
        case Integer() | Timestamp():
            text = f"CAST({expression} AS STRING)"
        case Money():
            text = f"""CONCAT('"', CAST(CAST({expression} AS {sql_type(kind)}) AS STRING), '"')"""
        case ListOf():
            text = expression  # it is JSON already: see `rows.json_list`
    return f"COALESCE({text}, 'null')"


def sortable(column: Column) -> str:
    """The JSON of a column so that texts sort as values do: numbers, none negative, are padded with blanks."""
    if isinstance(column.type, Integer | Timestamp):
        return f"LPAD({json_value(quoted(column.name), column.type)}, {NUMBER_WIDTH}, ' ')"
    return json_value(quoted(column.name), column.type)


def json_object(values: Mapping[str, str]) -> list[str]:
    """The arguments of a CONCAT that spells an object: names with expressions for the JSON of their values."""
    parts: list[str] = []
    for number, (name, value) in enumerate(values.items()):
        parts += [literal(f'{"," if number else "{"}"{name}":'), value]
    return [*parts, "'}'"]


def concat(parts: Iterable[str], indent: str = "  ") -> str:
    """One CONCAT of all: each further one would copy the text again."""
    lines = f",\n{indent}  ".join(parts)
    return f"CONCAT(\n{indent}  {lines}\n{indent})"
