"""Columns to Parquet files that Iceberg can list: data files and position-delete files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType

# Reserved field ids of position-delete files: Iceberg specification, "Reserved Field IDs".
DELETE_PATH, DELETE_POS = "file_path", "pos"
DELETE_SCHEMA = Schema(
    NestedField(2147483546, DELETE_PATH, StringType(), required=True),
    NestedField(2147483545, DELETE_POS, LongType(), required=True),
)


@dataclass(frozen=True)
class Writing:
    """Where and how one table's files are written; made once per table state."""

    table: Table
    schema: Schema
    spec: PartitionSpec

    @classmethod
    def of(cls, table: Table) -> Writing:
        """For the table's current schema and partition spec."""
        return cls(table, table.schema(), table.spec())

    def data_file(self, frame: pl.DataFrame, partition: Record) -> DataFile:
        """Write rows of one lake partition. `frame` has the schema's columns in any order; missing ones are null."""
        arrow_schema = schema_to_pyarrow(self.schema, include_field_ids=True)
        absent = [name for name in arrow_schema.names if name not in frame.columns]
        frame = frame.with_columns([pl.lit(None).alias(name) for name in absent]).select(arrow_schema.names)
        rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow_schema)
        return self._write(rows, self.schema, DataFileContent.DATA, partition)

    def delete_file(self, paths: pa.Array[Any], rows: pa.Array[Any], partition: Record) -> DataFile:
        """Write position deletes of one lake partition, sorted by path and row as the specification asks."""
        deletes = pa.table([paths, rows], names=[DELETE_PATH, DELETE_POS])
        deletes = deletes.sort_by([(DELETE_PATH, "ascending"), (DELETE_POS, "ascending")])
        arrow_schema = schema_to_pyarrow(DELETE_SCHEMA, include_field_ids=True)
        return self._write(deletes.cast(arrow_schema), DELETE_SCHEMA, DataFileContent.POSITION_DELETES, partition)

    def _write(self, rows: pa.Table, schema: Schema, content: DataFileContent, partition: Record) -> DataFile:
        path = self._new_path(content, partition)
        sink = pa.BufferOutputStream()
        # One row group per million rows: micro-batches are far smaller, and a reader prunes by file.
        with pq.ParquetWriter(sink, rows.schema, compression="zstd", compression_level=1) as writer:
            writer.write_table(rows, row_group_size=1 << 20)
        body = sink.getvalue()
        with self.table.io.new_output(path).create() as out:
            out.write(memoryview(body))  # type: ignore[arg-type]  # any buffer does; bytes would be a copy
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=writer.writer.metadata,
            stats_columns=compute_statistics_plan(schema, self.table.properties),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        )
        made = DataFile.from_args(
            content=content,
            file_path=path,
            file_format=FileFormat.PARQUET,
            partition=partition,
            file_size_in_bytes=body.size,
            sort_order_id=None,
            spec_id=self.spec.spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )
        made.spec_id = self.spec.spec_id
        return made

    def _new_path(self, content: DataFileContent, partition: Record) -> str:
        suffix = "-deletes" if content is DataFileContent.POSITION_DELETES else ""
        folder = f"{self.spec.partition_to_path(partition, self.schema)}/" if self.spec.fields else ""
        return f"{self.table.location()}/data/{folder}{uuid4().hex}{suffix}.parquet"
