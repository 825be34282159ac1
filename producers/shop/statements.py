"""A contract's statements on the shop's database, pure text: what a create and an update of one row are."""

from __future__ import annotations

from psycopg import sql

from olist.contracts import Contract

# The progress is one row, for ever: what a replay waits for, and what it finds changed by another one.
BEGIN = """
    insert into replay_progress as held (fingerprint, seq) values (%s, 0)
    on conflict (id) do update
        set fingerprint = case when held.fingerprint = '' then excluded.fingerprint else held.fingerprint end
    returning fingerprint, seq
"""
# Compare-and-set: a transaction that follows on a refused one, or on another process's, would set null and is refused.
# An update of no row would be no error: it is made one, a division by zero.
ADVANCE = """
    with moved as (
        update replay_progress set seq = case when seq = %s and fingerprint = %s then %s::bigint end returning seq
    )
    select 1 / count(*) from moved
"""
FORGET = """
    insert into replay_progress (fingerprint, seq) values ('', 0)
    on conflict (id) do update set fingerprint = excluded.fingerprint, seq = excluded.seq
"""


def insert(contract: Contract) -> str:
    """One row, its values in the contract's column order."""
    names = [column.name for column in contract.columns]
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(contract.table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(sql.Placeholder() * len(names)),
    )
    return statement.as_string()


def update(contract: Contract) -> str:
    """One row by its key, its values in `update_order`."""
    values = [name for name in update_order(contract) if name not in contract.key]
    statement = sql.SQL("update {} set {} where {}").format(
        sql.Identifier(contract.table),
        sql.SQL(", ").join(map(_equals, values)),
        sql.SQL(" and ").join(map(_equals, contract.key)),
    )
    return statement.as_string()


def update_order(contract: Contract) -> list[str]:
    """The columns in the order in which `update` takes their values: the key last."""
    return [*(c.name for c in contract.columns if c.name not in contract.key), *contract.key]


def delete_all(contract: Contract) -> str:
    """Every row, one by one as far as capture is concerned: a truncate would tell nobody which rows are gone."""
    return sql.SQL("delete from {}").format(sql.Identifier(contract.table)).as_string()


def _equals(name: str) -> sql.Composed:
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder())
