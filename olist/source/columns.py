"""A contract's column names as attributes, so that a misspelt one fails where it is written."""

from __future__ import annotations

from olist.contracts import Contract


class ColumnNames:
    """``names.order_approved_at`` is ``"order_approved_at"``; a name the contract lacks is an `AttributeError`."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._names = frozenset(column.name for column in contract.columns)

    def __getattr__(self, name: str) -> str:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"table {self._contract.table} has no column {name}")
        return name
