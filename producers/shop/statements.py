"""A contract's statements on the shop's database, pure text: what a create and an update of one row are."""

from __future__ import annotations

from psycopg import sql

from olist.contracts import Contract

PROGRESS = sql.SQL("update replay_progress set seq = {}").format(sql.Placeholder())


def insert(contract: Contract) -> sql.Composed:
    """One row, its values in the contract's column order."""
    names = [column.name for column in contract.columns]
    return sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(contract.table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(sql.Placeholder() * len(names)),
    )


def update(contract: Contract) -> sql.Composed:
    """One row by its key: the other columns' values first, then the key's, as `update_order` names them."""
    *_, keys = _split(contract)
    others = [name for name in update_order(contract) if name not in keys]
    return sql.SQL("update {} set {} where {}").format(
        sql.Identifier(contract.table),
        sql.SQL(", ").join(map(_equals, others)),
        sql.SQL(" and ").join(map(_equals, keys)),
    )


def update_order(contract: Contract) -> list[str]:
    """The columns in the order in which `update` takes their values."""
    others, keys = _split(contract)
    return [*others, *keys]


def _split(contract: Contract) -> tuple[list[str], list[str]]:
    return [c.name for c in contract.columns if c.name not in contract.key], list(contract.key)


def _equals(name: str) -> sql.Composed:
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder())
