"""A contract's columns in an index's ``_meta``, there and back, so that the contract's own rules judge a change."""

from __future__ import annotations

from typing import Any

from olist.contracts import Column, Contract
from olist.errors import ContractRefused
from sinks.column_json import columns_from_json, columns_json


def encoded(contract: Contract) -> dict[str, Any]:
    """Key and columns as JSON."""
    return {"key": list(contract.key), "columns": columns_json(contract.columns)}


def decoded(where: str, meta: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """Key and columns of an index.

    Raises:
        ContractRefused: the index is of another make.
    """
    try:
        return tuple(meta["key"]), columns_from_json(meta["columns"])
    except (KeyError, ValueError, TypeError) as error:
        raise ContractRefused(f"{where}: an index of another make is there", hint="rename or delete it") from error
