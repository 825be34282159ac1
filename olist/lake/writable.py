"""Whether a lake table, as others have left it, is one that sinks can write and this platform can read.

Other engines may upgrade a table's format, partition it otherwise, add columns and write deletes of other kinds. Each
is served exactly or refused by name, with both sides shown, before anything is written: sinks, `olist check` and
compaction all ask here.

Served: another sort order, other table properties, files of another partition spec than the current one, and optional
columns of somebody else's (`foreign_columns`), which rows from the topic leave null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.types import ListType, MapType, NestedField, PrimitiveType, StructType, UUIDType

from olist.batches import META, OP
from olist.contracts import Column, Contract
from olist.errors import ContractRefused
from olist.lake.row_delta import WRITTEN_VERSION
from olist.lake.schema import ORIGIN_TYPES, contract_type

KEY = "olist.key"  # table property: the contract's key columns
PARTITION_BY = "olist.partition-by"  # table property: the column by whose month it is partitioned
COLUMNS = "olist.columns"  # table property: the contract's columns; any other is somebody else's

UNDO = "undo it with the engine that did it, or "


def contract_properties(contract: Contract, *, history: bool) -> dict[str, str]:
    """What table properties say of a contract, since the schema cannot."""
    by = contract.partition_by
    return {
        KEY: " ".join(contract.key),
        PARTITION_BY: by.column if by and not history else "",
        COLUMNS: " ".join(column.name for column in contract.columns),
    }


def columns_property(table: Table, contract: Contract) -> str:
    """What a commit makes `COLUMNS` say: the contract's, and those that a newer version of it has had."""
    there = table.properties.get(COLUMNS, "").split()
    return " ".join(dict.fromkeys([*there, *(column.name for column in contract.columns)]))


def refuse_unwritable(table: Table, contract: Contract, *, history: bool = False) -> None:
    """Refuse a table that rows of the contract cannot be written to, or read from, exactly.

    Raises:
        ContractRefused: it names what is there and what is written.
    """
    _TableCheck(table, contract, history=history).judge()


def refuse_format(table: Table, contract: Contract) -> None:
    """Refuse a table of another format version than the one that sinks write.

    Raises:
        ContractRefused: it names both.
    """
    _TableCheck(table, contract, history=False).check_format()


def foreign_columns(table: Table, contract: Contract) -> list[NestedField]:
    """Optional columns that somebody else added: the contract has never had them.

    A table that does not say which are its contract's (one of earlier versions, until its next commit) has none.
    """
    ours = {*table.properties.get(COLUMNS, "").split(), *ORIGIN_TYPES, *(column.name for column in contract.columns)}
    if COLUMNS not in table.properties:
        return []
    return [field for field in table.schema().fields if field.name not in ours and not field.required]


def contract_columns(table: Table, contract: Contract, *, history: bool) -> tuple[Column, ...]:
    """The table's columns as the contract's would be, less its origin columns and those of others.

    Raises:
        ContractRefused: one is of a type that no contract has.
    """
    skipped = {*ORIGIN_TYPES, *(field.name for field in foreign_columns(table, contract))}
    fields = [field for field in table.schema().fields if field.name not in skipped]
    try:
        there = tuple(Column(field.name, contract_type(field.field_type), not field.required) for field in fields)
    except TypeError as error:
        raise _TableCheck(table, contract, history=history).refused(
            f"{error}; its columns are {_columns(table.schema())}",
            f"the contract's are {'; '.join(map(str, contract.columns))}",
        ) from error
    if not history:
        return there
    # Nothing but the key is required in a history, whatever the contract says.
    want = {column.name: column.nullable for column in contract.columns}
    return tuple(replace(column, nullable=want.get(column.name, True)) for column in there)


class _TableCheck:
    def __init__(self, table: Table, contract: Contract, *, history: bool) -> None:
        self.table, self.contract, self.history = table, contract, history

    def judge(self) -> None:
        """The checks, those first that make the others void."""
        self.check_format()
        self._check_properties()
        self._check_spec()
        self._check_deletes()
        self._check_origin()
        self._check_foreign_columns()

    def refused(self, there: str, ours: str, undo: str = UNDO) -> ContractRefused:
        """Both sides, and the way out."""
        rebuild = f"rebuild the table from the topic: `olist sink rebuild iceberg --tables {self.contract.table}`"
        return ContractRefused(f"lake table {self.table.name()[-1]}: {there}\n  {ours}", hint=undo + rebuild)

    def check_format(self) -> None:
        """The first of all checks: manifests and deletes of another version may be of other kinds.

        Raises:
            ContractRefused: it is not the version that sinks write.
        """
        if (version := self.table.format_version) != WRITTEN_VERSION:
            raise self.refused(
                f"it is of Iceberg's format version {version}",
                f"sinks write version {WRITTEN_VERSION}, and position deletes instead of deletion vectors",
                undo="Iceberg knows no way back to an older version: ",
            )

    def _check_properties(self) -> None:
        for name, says in contract_properties(self.contract, history=self.history).items():
            if name != COLUMNS and (was := self.table.properties.get(name, says)) != says:
                raise self.refused(f"{name} was ({was})", f"the contract's is ({says}), which lays other files")

    def _check_spec(self) -> None:
        schema, by = self.table.schema(), self.contract.partition_by
        there = [f"{field.transform}({schema.find_column_name(field.source_id)})" for field in self.table.spec().fields]
        ours = [f"month({by.column})"] if by and not self.history else []
        if there != ours:
            raise self.refused(
                f"it is partitioned by ({', '.join(there) or 'nothing'})",
                f"sinks lay its files by ({', '.join(ours) or 'nothing'})",
            )

    def _check_deletes(self) -> None:
        head = self.table.current_snapshot()
        if head and head.summary and int(head.summary.get("total-equality-deletes") or 0):
            raise self.refused(
                "it holds equality deletes, of an engine that wrote to it",
                "sinks write position deletes, and neither they nor PyIceberg can read those (Spark's "
                "rewrite_data_files applies them)",
            )

    def _check_origin(self) -> None:
        wanted = {name: ORIGIN_TYPES[name] for name in META if self.history or name != OP}
        there = {field.name: field.field_type for field in self.table.schema().fields}
        if wrong := {name: there.get(name) for name, kind in wanted.items() if there.get(name) != kind}:
            raise self.refused(
                f"columns that say where a row came from are not what they were: {_types(wrong)}",
                f"sinks write {_types(wanted)}",
            )

    def _check_foreign_columns(self) -> None:
        if wrong := [field for field in foreign_columns(self.table, self.contract) if not _is_carried(field)]:
            raise self.refused(
                f"somebody added columns of types that a compaction cannot carry: {'; '.join(map(str, wrong))}",
                f"the contract's columns are {'; '.join(map(str, self.contract.columns))}",
            )


def _is_carried(field: NestedField) -> bool:
    """Whether a compaction carries a column's values unchanged."""
    match field.field_type:
        case MapType() | UUIDType():
            return False
        case StructType(fields=fields):
            return all(map(_is_carried, fields))
        case ListType(element_field=element):
            return _is_carried(element)
        case kind:
            return isinstance(kind, PrimitiveType)


def _types(columns: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {kind or '(gone)'}" for name, kind in columns.items())


def _columns(schema: Schema) -> str:
    return "; ".join(f"{field.name} {field.field_type}" for field in schema.fields)
