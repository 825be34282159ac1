"""What a target holds, read back by another road than the sink's: rows as dicts of plain Python values.

Money comes as `Decimal`, a timestamp as microseconds since 1970 (Python's own dates are not asked to hold them), and of
the trace the partition and the offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import requests

from olist.batches import OFFSET, PARTITION
from olist.contracts import Contract, Money, Timestamp, Type
from olist.lake.catalog import identifier, open_catalog
from olist.settings import Settings
from sinks.opensearch.mapping import alias_name
from sinks.postgres.ddl import column_names, listed, table_name
from tests.laws import fake

Rows = list[dict[str, Any]]
MOST_HITS = 10_000
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


def iceberg(contract: Contract, settings: Settings) -> Rows:
    """By PyIceberg's scan."""
    catalog = open_catalog(settings)
    found = catalog.load_table(identifier(contract.table)).scan().to_arrow().to_pylist()
    catalog.close()
    return plain(contract, found)


def opensearch(contract: Contract, settings: Settings) -> Rows:
    """By a search of the alias, after a refresh."""
    url = f"{settings.opensearch_url}/{alias_name(contract)}"
    requests.post(f"{url}/_refresh", timeout=30).raise_for_status()
    answer = requests.post(f"{url}/_search", json={"size": MOST_HITS, "track_total_hits": True}, timeout=30)
    answer.raise_for_status()
    hits = answer.json()["hits"]
    assert hits["total"]["value"] == len(hits["hits"]), "more rows than one search returns"
    return plain(contract, (_typed(contract, hit["_source"]) for hit in hits["hits"]))


def _typed(contract: Contract, source: dict[str, Any]) -> dict[str, Any]:
    """JSON's values as the contract's types."""
    read: dict[type[Type], Callable[[Any], Any]] = {Money: Decimal, Timestamp: datetime.fromisoformat}
    typed = dict(source)
    for column in contract.columns:
        value = source.get(column.name)
        typed[column.name] = value if value is None else read.get(type(column.type), lambda same: same)(value)
    return typed
