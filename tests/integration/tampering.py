"""Hands in the targets: one row changed, removed or added behind the sinks' backs, each by the target's own means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import polars as pl
import psycopg
import pyarrow as pa
import requests
from psycopg.types.json import Jsonb
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from olist.batches import META, frame_schema
from olist.contracts import Contract
from olist.lake.catalog import identifier, open_catalog
from olist.lake.files import FileWriter
from olist.lake.live_rows import ROW, live_rows
from olist.lake.row_delta import OneCommit, RowDelta
from olist.lake.schema import WHOLE
from olist.lake.table import LakeTable
from olist.settings import Settings
from sinks.opensearch.mapping import alias_name, index_name
from sinks.opensearch.positions import INDEX as POSITIONS
from sinks.postgres import positions
from sinks.postgres.schema import table_name


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

    @abstractmethod
    def truncate(self) -> None:
        """No row is left; the positions stay."""

    @abstractmethod
    def stand_at(self, ends: Mapping[int, int]) -> None:
        """Other positions; the rows stay."""


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

    def truncate(self) -> None:
        with psycopg.connect(self.settings.postgres_url) as connection:
            connection.execute(f"TRUNCATE {table_name(self.contract)}".encode())

    def stand_at(self, ends: Mapping[int, int]) -> None:
        statement = f"UPDATE {positions.TABLE} SET next_offset = %s WHERE table_name = %s AND partition = %s"
        with psycopg.connect(self.settings.postgres_url) as connection:
            for partition, end in ends.items():
                connection.execute(statement.encode(), (end, self.contract.table, partition))

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

    def truncate(self) -> None:
        self._ask("POST", "_delete_by_query?refresh=true", {"query": {"match_all": {}}})

    def stand_at(self, ends: Mapping[int, int]) -> None:
        path = f"{POSITIONS}/_doc/{self.contract.table}"
        there = self._ask("GET", path, index="")["_source"]
        there["positions"]["next"] = {str(partition): end for partition, end in ends.items()}
        self._ask("PUT", path, there, index="")

    def rename(self, parcel_id: str, document_id: str) -> None:
        """The row's document under another id."""
        document = self._ask("GET", f"_doc/{parcel_id}|1")["_source"]
        self.remove(parcel_id)
        self._ask("PUT", f"_doc/{document_id}", document)

    def add_index(self, suffix: str) -> None:
        """Another index whose name begins as the alias does."""
        self._ask("PUT", "", index=f"{alias_name(self.contract)}-{suffix}")

    def remove_index(self, suffix: str) -> None:
        """Undo `add_index`."""
        self._ask("DELETE", "", index=f"{alias_name(self.contract)}-{suffix}")

    def unfilter_alias(self) -> None:
        """The alias shows deleted documents too."""
        added = {"add": {"index": index_name(self.contract), "alias": alias_name(self.contract)}}
        removed = {"remove": {"index": index_name(self.contract), "alias": alias_name(self.contract)}}
        self._ask("POST", "_aliases", {"actions": [removed, added]}, index="")

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, index: str | None = None
    ) -> dict[str, Any]:
        index = index_name(self.contract) if index is None else index
        url = f"{self.settings.opensearch_url}/{f'{index}/{path}'.strip('/')}"
        answer = requests.request(method, url, json=body, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found


class IcebergHand(Hand):
    """By PyIceberg's own writes."""

    history = False

    def change(self, parcel_id: str, column: str, value: Any) -> None:
        row = self._row(parcel_id)
        self.remove(parcel_id)
        self._append(row.with_columns(pl.Series(column, [value], dtype=row.schema[column])))

    def remove(self, parcel_id: str) -> None:
        self._table().delete(_is(parcel_id))

    def add(self, like: str, parcel_id: str) -> None:
        self._append(self._row(like).with_columns(pl.lit(parcel_id).alias("parcel_id")))

    def truncate(self) -> None:
        self._table().delete(AlwaysTrue())

    def stand_at(self, ends: Mapping[int, int]) -> None:
        table = LakeTable(open_catalog(self.settings), self.contract, history=self.history)
        held = table.open()
        assert held
        if any(end < held.next[partition] for partition, end in ends.items()):
            self._roll_back()
        else:
            table.assign(frozenset(ends))
            table.commit(table.stage(pl.DataFrame(schema=frame_schema(self.contract))), held, dict(ends))

    def _roll_back(self) -> None:
        """As another engine does: main is set to an older snapshot."""
        table = self._table()
        head = table.current_snapshot()
        assert head
        assert head.parent_snapshot_id
        table.manage_snapshots().set_current_snapshot(head.parent_snapshot_id).commit()

    def misfile(self, parcel_id: str, claim: int, column: str, value: bytes) -> None:
        """The row in a file of whose `column` the manifest claims something else: a bound, by its field's number."""
        row = self._row(parcel_id)
        self.remove(parcel_id)
        table = self._table()
        file = FileWriter.of(table).data_file(row, WHOLE)
        file[claim] = dict(file[claim]) | {table.schema().find_field(column).field_id: value}
        _commit(table, [file], [])

    def _table(self) -> Table:
        name = f"{self.contract.table}_changes" if self.history else self.contract.table
        return open_catalog(self.settings).load_table(identifier(name))

    def _row(self, parcel_id: str) -> pl.DataFrame:
        return pl.DataFrame(pl.from_arrow(self._table().scan(_is(parcel_id)).to_arrow()))

    def _append(self, rows: pl.DataFrame) -> None:
        table = self._table()
        schema = table.schema().as_arrow()
        table.append(rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))


class HistoryHand(IcebergHand):
    """The same in the history."""

    history = True

    def remove(self, parcel_id: str) -> None:
        """By a position delete: PyIceberg's own rewrites the file, and makes an empty list of a delete's null one."""
        table = self._table()
        for file, found in live_rows(table, ["parcel_id"]):
            rows = found.filter(pl.col("parcel_id") == parcel_id)[ROW]
            paths = pa.array([file.file_path] * len(rows), type=pa.string())
            deletes = FileWriter.of(table).delete_file(paths, pa.array(rows.to_list(), type=pa.int64()), WHOLE)
            _commit(table, [], [deletes])

    def double(self, parcel_id: str) -> None:
        """Each change of the parcel twice."""
        self._append(self._row(parcel_id))


def _commit(table: Table, data_files: list[DataFile], delete_files: list[DataFile]) -> None:
    transaction = OneCommit(table)
    RowDelta(transaction, data_files, delete_files, {}).commit()
    transaction.commit_transaction()


def _is(parcel_id: str) -> str:
    return f"parcel_id == '{parcel_id}'"


HANDS: dict[str, type[Hand]] = {"iceberg": IcebergHand, "postgres": PostgresHand, "opensearch": OpenSearchHand}
