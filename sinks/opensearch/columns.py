"""A contract's columns in an index's ``_meta``, there and back, so that the contract's own rules judge a change."""

from __future__ import annotations

from typing import Any

from olist.contracts import Column, Contract, Float, Integer, Money, Text, Timestamp, Type
from olist.errors import ContractRefused


def encoded(contract: Contract) -> dict[str, Any]:
    """Key and columns as JSON: ``[name, type, nullable]`` each."""
    columns = [[column.name, type_name(column.type), column.nullable] for column in contract.columns]
    return {"key": list(contract.key), "columns": columns}


def decoded(where: str, meta: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """Key and columns of an index.

    Raises:
        ContractRefused: the index is of another make.
    """
    try:
        columns = tuple(Column(name, _type(kind), nullable) for name, kind, nullable in meta["columns"])
        return tuple(meta["key"]), columns
    except (KeyError, ValueError, TypeError) as error:
        raise ContractRefused(f"{where}: an index of another make is there", hint="rename or delete it") from error


def type_name(kind: Type) -> str:
    """A contract type as one word."""
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


def _type(name: str) -> Type:
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
