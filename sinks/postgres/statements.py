"""The statements that take a staged batch into the table. Pure text, made once per contract."""

from __future__ import annotations

from hashlib import blake2b

from olist.batches import OFFSET
from olist.contracts import Contract
from sinks.postgres.ddl import TRACE, column_names, listed, quoted, sql_type, table_name

DELETED = "_deleted"

# Set before the first lock: a process that is stopped while it holds one must not stop the others for longer.
LIMIT_IDLE = b"SET LOCAL idle_in_transaction_session_timeout = '20s'"


BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"


class Statements:
    """What one contract's table needs, as bytes for the driver."""

    def __init__(self, contract: Contract) -> None:
        table, names = table_name(contract), column_names(contract)
        columns = {column.name: sql_type(column.type) for column in contract.columns} | TRACE | {DELETED: "boolean"}
        # Types without constraints: of a delete only the key is there. Emptied by every COMMIT and ROLLBACK.
        shape = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
        # Named by its shape: a connection serves many tables, and outlives a contract's change.
        staged = f"pg_temp.staged_{blake2b(shape.encode(), digest_size=8).hexdigest()}"
        self.create_stage = f"CREATE TEMP TABLE IF NOT EXISTS {staged} ({shape}) ON COMMIT DELETE ROWS;".encode()
        self.copy = f"COPY {staged} ({listed(names)}, {DELETED}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')".encode()
        self.upsert = _upsert(contract, table, staged, names).encode()
        self.delete = _delete(contract, table, staged).encode()


def _upsert(contract: Contract, table: str, staged: str, names: tuple[str, ...]) -> str:
    """Insert or replace, unless the row there is newer. A key stays in its partition, so the offset alone tells."""
    values = tuple(name for name in names if name not in contract.key)
    return (
        f"INSERT INTO {table} AS t ({listed(names)}) SELECT {listed(names)} FROM {staged} WHERE NOT {DELETED} "
        f"ON CONFLICT ({listed(contract.key)}) DO UPDATE SET ({listed(values)}) = ROW ({listed(values, 'excluded.')}) "
        f"WHERE t.{quoted(OFFSET)} < excluded.{quoted(OFFSET)}"
    )


def _delete(contract: Contract, table: str, staged: str) -> str:
    """Remove the rows whose last change is a delete, unless the row there is newer."""
    same = " AND ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in contract.key)
    older = f"t.{quoted(OFFSET)} < s.{quoted(OFFSET)}"
    return f"DELETE FROM {table} t USING {staged} s WHERE s.{DELETED} AND {same} AND {older}"
