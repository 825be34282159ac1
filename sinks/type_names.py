"""Contract columns as JSON, there and back: what a target notes of the columns that its own types do not tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from olist.contracts import Column, Float, Integer, ListOf, Money, Text, Timestamp, Type


def noted(columns: Iterable[Column]) -> list[list[Any]]:
    """``[name, type, nullable]`` each."""
    return [[column.name, type_name(column.type), column.nullable] for column in columns]


def columns_noted(note: Any) -> tuple[Column, ...]:
    """The columns of a note.

    Raises:
        ValueError, TypeError, KeyError: it is no such note.
    """
    return tuple(Column(name, type_named(kind), bool(nullable)) for name, kind, nullable in note)


def type_name(kind: Type) -> str | dict[str, Any]:
    """A contract type as one word; of a list, ``{"list": columns}``."""
    match kind:
        case Text(language=language):
            return f"text:{language}" if language else "text"
        case Integer(bits=bits):
            return f"integer:{bits}"
        case Float():
            return "float"
        case Money(precision=precision, scale=scale):
            return f"money:{precision}:{scale}"
        case Timestamp():
            return "timestamp"
        case ListOf(columns=columns):
            return {"list": noted(columns)}


def type_named(name: str | dict[str, Any]) -> Type:
    """The type that `type_name` calls so.

    Raises:
        ValueError, TypeError, KeyError: there is none.
    """
    if isinstance(name, dict):
        return ListOf(columns_noted(name["list"]))
    match name.split(":"):
        case ["text"]:
            return Text()
        case ["text", language]:
            return Text(language)
        case ["integer", "32"]:
            return Integer(32)
        case ["integer", "64"]:
            return Integer(64)
        case ["float"]:
            return Float()
        case ["money", precision, scale]:
            return Money(int(precision), int(scale))
        case ["timestamp"]:
            return Timestamp()
        case _:
            raise ValueError(f"no contract type is called {name!r}")
