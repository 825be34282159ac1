"""A contract's columns in an index's ``_meta``, there and back, so that the contract's own rules judge a change."""

from __future__ import annotations

from typing import Any

from olist.contracts import Column, Contract
from olist.errors import ContractRefused
from sinks.type_names import columns_noted, noted


def encoded(contract: Contract) -> dict[str, Any]:
    """Key and columns as JSON."""
    return {"key": list(contract.key), "columns": noted(contract.columns)}


def decoded(where: str, meta: dict[str, Any]) -> tuple[tuple[str, ...], tuple[Column, ...]]:
    """Key and columns of an index.

    Raises:
        ContractRefused: the index is of another make.
    """
    try:
        return tuple(meta["key"]), columns_noted(meta["columns"])
    except (KeyError, ValueError, TypeError) as error:
        raise ContractRefused(f"{where}: an index of another make is there", hint="rename or delete it") from error
