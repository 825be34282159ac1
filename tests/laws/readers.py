"""What a target holds, read back by another road than the sink's: rows as dicts of plain Python values.

Money comes as `Decimal`, a timestamp as microseconds since 1970 (Python's own dates are not asked to hold them), and of
the trace the partition and the offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import requests
from pyiceberg.table import Table

from olist.batches import OFFSET, PARTITION
from olist.contracts import Contract, Float, ListOf, Money, Timestamp, Type
from olist.lake.catalog import identifier, open_catalog
from olist.lake.live_rows import live_rows
from olist.settings import Settings
from sinks.opensearch.mapping import alias_name
from sinks.postgres.schema import column_names, listed, table_name
from tests.laws import fake

Rows = list[dict[str, Any]]
MOST_HITS = 10_000
EPOCH = datetime(1970, 1, 1)


def micros(value: datetime | None) -> int | None:
    """Microseconds since 1970, exactly."""
    return None if value is None else (value - EPOCH) // timedelta(microseconds=1)


def plain(contract: Contract, rows: Iterable[Mapping[str, Any]]) -> Rows:
    """The rows' contract columns, partition and offset, with timestamps as microseconds."""
    return [
        {c.name: _plain(c.type, row[c.name]) for c in contract.columns}
        | {name: row[name] for name in (PARTITION, OFFSET)}
        for row in rows
    ]


def _plain(kind: Type, value: Any) -> Any:
    match kind:
        case Timestamp():
            return micros(value)
        case ListOf(columns=columns) if value is not None:
            return [{c.name: _plain(c.type, row[c.name]) for c in columns} for row in value]
        case _:
            return value


def memory(contract: Contract, settings: Settings) -> Rows:
    """From the fake's dicts."""
    stored = fake.TABLES.get(contract.table)
    return plain(contract, stored.rows.values() if stored else ())


def postgres(contract: Contract, settings: Settings) -> Rows:
    """By SELECT."""
    names = column_names(contract)
    with psycopg.connect(settings.postgres_url) as connection:
        found = connection.execute(f"SELECT {listed(names)} FROM {table_name(contract)}".encode()).fetchall()
    lists = [column for column in contract.columns if isinstance(column.type, ListOf)]
    rows = (dict(zip(names, row, strict=True)) for row in found)
    return plain(contract, (row | {c.name: _typed(c.type, row[c.name]) for c in lists} for row in rows))


def iceberg(contract: Contract, settings: Settings) -> Rows:
    """By PyIceberg's scan."""
    catalog = open_catalog(settings)
    found = scanned(catalog.load_table(identifier(contract.table)), contract)
    catalog.close()
    return plain(contract, found)


def scanned(table: Table, contract: Contract) -> Rows:
    """By PyIceberg's scan. It reads a null list as an empty one (its #3833), so the files say which are null."""
    found: Rows = table.scan().to_arrow().to_pylist()
    lists = [column.name for column in contract.columns if isinstance(column.type, ListOf)]
    null = {
        (name, *place)
        for _file, rows in live_rows(table, [*lists, PARTITION, OFFSET])
        for name in lists
        for place in rows.filter(pl.col(name).is_null()).select(PARTITION, OFFSET).iter_rows()
    }
    for row in found:
        row.update({name: row[name] or None for name in lists if (name, row[PARTITION], row[OFFSET]) in null})
    return found


def opensearch(contract: Contract, settings: Settings) -> Rows:
    """By a search of the alias, after a refresh."""
    url = f"{settings.opensearch_url}/{alias_name(contract)}"
    requests.post(f"{url}/_refresh", timeout=30).raise_for_status()
    answer = requests.post(f"{url}/_search", json={"size": MOST_HITS, "track_total_hits": True}, timeout=30)
    answer.raise_for_status()
    hits = answer.json()["hits"]
    assert hits["total"]["value"] == len(hits["hits"]), "more rows than one search returns"
    return plain(contract, (_source(contract, hit["_source"]) for hit in hits["hits"]))


def _source(contract: Contract, source: dict[str, Any]) -> dict[str, Any]:
    """A document as the contract's types."""
    return source | {column.name: _typed(column.type, source.get(column.name)) for column in contract.columns}


def _typed(kind: Type, value: Any) -> Any:
    """JSON's value as the contract's type."""
    match kind:
        case _ if value is None:
            return None
        case Money():
            assert isinstance(value, str), "money is a string in JSON"
            return Decimal(value)
        case Timestamp():
            return datetime.fromisoformat(value)
        case Float():
            return float(value)  # jsonb writes a large one as a whole number
        case ListOf(columns=columns):
            return [{c.name: _typed(c.type, row.get(c.name)) for c in columns} for row in value]
        case _:
            return value
