"""What a target holds, read back by another road than the sink's: rows as dicts of plain Python values.

Money comes as `Decimal`, a timestamp as microseconds since 1970 (Python's own dates are not asked to hold them), and of
the trace the partition and the offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg

from olist.batches import OFFSET, PARTITION
from olist.contracts import Contract, Timestamp
from olist.settings import Settings
from sinks.postgres.ddl import column_names, listed, table_name
from tests.laws import fake

Rows = list[dict[str, Any]]
EPOCH = datetime(1970, 1, 1)


def micros(value: datetime | None) -> int | None:
    """Microseconds since 1970, exactly."""
    return None if value is None else (value - EPOCH) // timedelta(microseconds=1)


def plain(contract: Contract, rows: Iterable[Mapping[str, Any]]) -> Rows:
    """The rows' contract columns, partition and offset, with timestamps as microseconds."""
    moments = {column.name for column in contract.columns if isinstance(column.type, Timestamp)}
    names = (*(column.name for column in contract.columns), PARTITION, OFFSET)
    return [{name: micros(row[name]) if name in moments else row[name] for name in names} for row in rows]


def memory(contract: Contract, settings: Settings) -> Rows:
    """From the fake's dicts."""
    stored = fake.TABLES.get(contract.table)
    return plain(contract, stored.rows.values() if stored else ())


def postgres(contract: Contract, settings: Settings) -> Rows:
    """By SELECT."""
    names = column_names(contract)
    with psycopg.connect(settings.postgres_url) as connection:
        found = connection.execute(f"SELECT {listed(names)} FROM {table_name(contract)}".encode()).fetchall()
    return plain(contract, (dict(zip(names, row, strict=True)) for row in found))
