"""Hands in the targets: one row changed, removed or added behind the sinks' backs, each by the target's own means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import polars as pl
import psycopg
import requests
from psycopg.types.json import Jsonb
from pyiceberg.table import Table

from olist.batches import META
from olist.contracts import Contract
from olist.lake.catalog import identifier, open_catalog
from olist.settings import Settings
from sinks.opensearch.mapping import index_name
from sinks.postgres.ddl import table_name


class Hand(ABC):
    """Tampers with one table of parcels. Rows are named by `parcel_id`; the leg is 1."""

    def __init__(self, contract: Contract, settings: Settings) -> None:
        self.contract, self.settings = contract, settings

    @abstractmethod
    def change(self, parcel_id: str, column: str, value: Any) -> None:
        """Another value in one cell."""

    @abstractmethod
    def remove(self, parcel_id: str) -> None:
        """The row is gone."""

    @abstractmethod
    def add(self, like: str, parcel_id: str) -> None:
        """A copy of a row under another key."""


class PostgresHand(Hand):
    """By SQL."""

    def change(self, parcel_id: str, column: str, value: Any) -> None:
        written = Jsonb(value) if isinstance(value, list) else value
        self._run(f'UPDATE {{t}} SET "{column}" = %s WHERE parcel_id = %s', written, parcel_id)

    def remove(self, parcel_id: str) -> None:
        self._run("DELETE FROM {t} WHERE parcel_id = %s", parcel_id)

    def add(self, like: str, parcel_id: str) -> None:
        names = [column.name for column in self.contract.columns] + list(META[1:])
        listed = ", ".join(f'"{name}"' for name in names)
        copied = listed.replace('"parcel_id"', "%s")
        self._run(f"INSERT INTO {{t}} ({listed}) SELECT {copied} FROM {{t}} WHERE parcel_id = %s", parcel_id, like)

    def _run(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.settings.postgres_url) as connection:
            done = connection.execute(statement.format(t=table_name(self.contract)).encode(), values)
            assert done.rowcount == 1


class OpenSearchHand(Hand):
    """By requests to the index behind the alias."""

    def change(self, parcel_id: str, column: str, value: Any) -> None:
        self._ask("POST", f"_update/{parcel_id}|1", {"doc": {column: value}})

    def remove(self, parcel_id: str) -> None:
        self._ask("DELETE", f"_doc/{parcel_id}|1")

    def add(self, like: str, parcel_id: str) -> None:
        document = self._ask("GET", f"_doc/{like}|1")["_source"]
        self._ask("PUT", f"_doc/{parcel_id}|1", document | {"parcel_id": parcel_id})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self.settings.opensearch_url}/{index_name(self.contract)}/{path}"
        answer = requests.request(method, url, json=body, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


class IcebergHand(Hand):
    """By PyIceberg's own writes."""

    def change(self, parcel_id: str, column: str, value: Any) -> None:
        row = self._row(parcel_id)
        self.remove(parcel_id)
        self._append(row.with_columns(pl.Series(column, [value], dtype=row.schema[column])))

    def remove(self, parcel_id: str) -> None:
        self._table().delete(_is(parcel_id))

    def add(self, like: str, parcel_id: str) -> None:
        self._append(self._row(like).with_columns(pl.lit(parcel_id).alias("parcel_id")))

    def _table(self) -> Table:
        return open_catalog(self.settings).load_table(identifier(self.contract.table))

    def _row(self, parcel_id: str) -> pl.DataFrame:
        return pl.DataFrame(pl.from_arrow(self._table().scan(_is(parcel_id)).to_arrow()))

    def _append(self, rows: pl.DataFrame) -> None:
        table = self._table()
        schema = table.schema().as_arrow()
        table.append(rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))


def _is(parcel_id: str) -> str:
    return f"parcel_id == '{parcel_id}'"


HANDS: dict[str, type[Hand]] = {"iceberg": IcebergHand, "postgres": PostgresHand, "opensearch": OpenSearchHand}
