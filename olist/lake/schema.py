"""Contract -> Iceberg schema, partition spec and properties; and back to columns, so that evolution can be judged.

Rows are split by the same partition spec (`split`).
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table.update.schema import UpdateSchema
from pyiceberg.transforms import MonthTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    DecimalType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
)

from olist.batches import COMMITTED_AT, META, OFFSET, OP, PARTITION
from olist.contracts import (
    Column,
    Contract,
    Evolution,
    Float,
    Integer,
    ListOf,
    Money,
    Month,
    Text,
    Timestamp,
    Type,
    evolve,
)

ORIGIN_TYPES: dict[str, IcebergType] = {
    OP: StringType(),
    PARTITION: IntegerType(),
    OFFSET: LongType(),
    COMMITTED_AT: TimestampType(),
}
FIRST_PARTITION_FIELD_ID = 1000
NO_ID = -1
WHOLE = Record()  # the one lake partition of a table without partitions

PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.compression-level": "1",
    "write.delete.mode": "merge-on-read",
    "write.update.mode": "merge-on-read",
    # What a conflict means is ours to decide (olist.lake.table); a blind retry would skip the check of positions.
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # A commit costs about a millisecond more per snapshot that the table still lists.
    "history.expire.max-snapshot-age-ms": "60000",
    "history.expire.min-snapshots-to-keep": "20",
}


def iceberg_type(kind: Type) -> IcebergType:
    """The Iceberg type of a contract type. Fields inside have no ids yet: the table gives them theirs."""
    match kind:
        case Text():
            return StringType()
        case Integer(bits=bits):
            return IntegerType() if bits == 32 else LongType()
        case Float():
            return DoubleType()
        case Money(precision=precision, scale=scale):
            return DecimalType(precision, scale)
        case Timestamp():
            return TimestampType()
        case ListOf(columns=columns):
            fields = [
                NestedField(NO_ID, column.name, iceberg_type(column.type), required=not column.nullable)
                for column in columns
            ]
            return ListType(NO_ID, StructType(*fields), element_required=True)


def contract_type(kind: IcebergType) -> Type:
    """The contract type of an Iceberg type that `iceberg_type` makes.

    Raises:
        TypeError: a type that no contract has; somebody else changed the table.
    """
    match kind:
        case StringType():
            return Text()
        case IntegerType():
            return Integer(32)
        case LongType():
            return Integer(64)
        case DoubleType():
            return Float()
        case DecimalType(precision=precision, scale=scale):
            return Money(precision, scale)
        case TimestampType():
            return Timestamp()
        case ListType(element_type=StructType(fields=fields)):
            return ListOf(tuple(Column(f.name, contract_type(f.field_type), not f.required) for f in fields))
    raise TypeError(f"no contract type is an Iceberg {kind}")


def iceberg_schema(contract: Contract, *, history: bool) -> Schema:
    """The schema of a new table: the contract's columns, then where each row came from (a history: and what it did).

    In a history only the key is required: a delete has nothing else.
    """
    origin = META if history else META[1:]
    required = {c.name for c in (contract.key_columns if history else contract.columns) if not c.nullable}
    columns = [(c.name, iceberg_type(c.type), c.name in required) for c in contract.columns]
    columns += [(name, ORIGIN_TYPES[name], name != COMMITTED_AT) for name in origin]
    fields = [NestedField(NO_ID, name, kind, required=required) for name, kind, required in columns]
    return assign_fresh_schema_ids(Schema(*fields))


def partition_spec(contract: Contract, schema: Schema, *, history: bool) -> PartitionSpec:
    """Current rows are partitioned as the contract says; a history is read by time of change and stays whole."""
    if contract.partition_by is None or history:
        return UNPARTITIONED_PARTITION_SPEC
    source = schema.find_field(contract.partition_by.column)
    name = f"{source.name}_month"
    return PartitionSpec(PartitionField(source.field_id, FIRST_PARTITION_FIELD_ID, MonthTransform(), name))


def change_schema(update: UpdateSchema, there: tuple[Column, ...], change: Evolution, at: tuple[str, ...] = ()) -> None:
    """Stage what a contract's evolution asks for, in the rows of lists too (`at` is the path to those)."""
    for column in change.loosened:
        update.make_column_optional((*at, column.name))
    for column in change.added:
        update.add_column((*at, column.name), iceberg_type(column.type))
    was = {column.name: column.type for column in there}
    for column in change.widened:
        path, old = (*at, column.name), was[column.name]
        if isinstance(column.type, ListOf) and isinstance(old, ListOf):
            inside = evolve(".".join(path), old.columns, column.type.columns)
            change_schema(update, old.columns, inside, (*path, "element"))
        else:
            update.update_column(path, iceberg_type(column.type))


def split(frame: pl.DataFrame, partition_by: Month | None) -> Iterator[tuple[Record, pl.DataFrame]]:
    """The frame's rows by lake partition, in the frame's order within each. An empty frame has no parts."""
    if frame.is_empty():
        return
    if partition_by is None:
        yield WHOLE, frame
        return
    parts = frame.with_columns(_month(partition_by).alias("_part")).partition_by(
        "_part", as_dict=True, include_key=False
    )
    for (month,), part in sorted(parts.items(), key=str):
        yield Record(month), part


def _month(by: Month) -> pl.Expr:
    """Months since 1970-01, as Iceberg's month transform counts them."""
    moment = pl.col(by.column).dt
    return ((moment.year() - 1970) * 12 + moment.month().cast(pl.Int32) - 1).cast(pl.Int32)
