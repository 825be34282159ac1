"""Columns to Parquet files that Iceberg can list: data files and position-delete files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType

from olist.lake.statistics import FULL, file_statistics

# Reserved field ids of position-delete files: Iceberg specification, "Reserved Field IDs".
DELETE_PATH, DELETE_POS = "file_path", "pos"
DELETE_SCHEMA = Schema(
    NestedField(2147483546, DELETE_PATH, StringType(), required=True),
    NestedField(2147483545, DELETE_POS, LongType(), required=True),
)


# Of a data file or position-delete file of format v2, as a manifest lists it.
LISTED = (
    *("content", "file_path", "file_format", "partition", "record_count", "file_size_in_bytes", "column_sizes"),
    *("value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds", "key_metadata"),
    *("split_offsets", "equality_ids", "sort_order_id"),
)

COMPRESSION: dict[str, Any] = {"compression": "zstd", "compression_level": 1}


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
        there = [field for field in arrow_schema if field.name in frame.columns]
        rows = frame.select([field.name for field in there]).to_arrow(compat_level=pl.CompatLevel.oldest())
        rows = rows.cast(pa.schema(there))
        for at, column in enumerate(arrow_schema):
            if column.name not in frame.columns:
                rows = rows.add_column(at, column, pa.nulls(frame.height, column.type))
        return self._write(rows, self.schema, DataFileContent.DATA, partition)

    def delete_file(self, paths: pa.Array[Any], rows: pa.Array[Any], partition: Record) -> DataFile:
        """Write position deletes of one lake partition, sorted by path and row as the specification asks."""
        deletes = pa.table([paths, rows], names=[DELETE_PATH, DELETE_POS])
        deletes = deletes.sort_by([(DELETE_PATH, "ascending"), (DELETE_POS, "ascending")])
        arrow_schema = schema_to_pyarrow(DELETE_SCHEMA, include_field_ids=True)
        return self._write(deletes.cast(arrow_schema), DELETE_SCHEMA, DataFileContent.POSITION_DELETES, partition)

    def open_data_file(self, partition: Record) -> OpenDataFile:
        """A data file of one lake partition that is written row group by row group."""
        return OpenDataFile(self, partition, self._new_path(DataFileContent.DATA, partition))

    def _write(self, rows: pa.Table, schema: Schema, content: DataFileContent, partition: Record) -> DataFile:
        path = self._new_path(content, partition)
        sink = pa.BufferOutputStream()
        # One row group per million rows: micro-batches are far smaller, and a reader prunes by file.
        with pq.ParquetWriter(sink, rows.schema, **COMPRESSION) as writer:
            writer.write_table(rows, row_group_size=1 << 20)
        body = sink.getvalue()
        with self.table.io.new_output(path).create() as out:
            out.write(memoryview(body))  # type: ignore[arg-type]  # any buffer does; bytes would be a copy
        return self.listed(path, writer.writer.metadata, body.size, schema, content, partition)

    def listed(
        self, path: str, metadata: Any, size: int, schema: Schema, content: DataFileContent, partition: Record
    ) -> DataFile:
        """A written file as a manifest lists it; `metadata` is Parquet's own, `size` in bytes.

        A delete file says in full which paths it names: by beginnings alone, all files of a table are alike, and every
        reader would open it for each.
        """
        properties = self.table.properties if content is DataFileContent.DATA else FULL
        made = DataFile.from_args(
            content=content,
            file_path=path,
            file_format=FileFormat.PARQUET,
            partition=partition,
            file_size_in_bytes=size,
            sort_order_id=None,
            spec_id=self.spec.spec_id,
            equality_ids=None,
            key_metadata=None,
            **file_statistics(metadata, schema, properties),
        )
        made.spec_id = self.spec.spec_id
        return made

    def _new_path(self, content: DataFileContent, partition: Record) -> str:
        suffix = "-deletes" if content is DataFileContent.POSITION_DELETES else ""
        folder = f"{self.spec.partition_to_path(partition, self.schema)}/" if self.spec.fields else ""
        return f"{self.table.location()}/data/{folder}{uuid4().hex}{suffix}.parquet"


def amended(file: DataFile, **changes: Any) -> DataFile:
    """The same file, listed with other figures."""
    made = DataFile.from_args(**{name: getattr(file, name) for name in LISTED} | changes)
    made.spec_id = file.spec_id
    return made


class OpenDataFile:
    """A data file in the making. Nothing refers to it until a commit does."""

    def __init__(self, writing: Writing, partition: Record, path: str) -> None:
        self.writing, self.partition, self.path = writing, partition, path
        self.rows = 0
        self._schema = schema_to_pyarrow(writing.schema, include_field_ids=True)
        self._out = writing.table.io.new_output(path).create()
        # PyIceberg promises less of the stream than it gives.
        self._parquet: Any = pq.ParquetWriter(self._out, self._schema, **COMPRESSION)  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return int(self._out.tell())

    def write(self, rows: pa.Table) -> None:
        """Write rows as one row group. Their columns are the table schema's, in its order."""
        self._parquet.write_table(rows.cast(self._schema), row_group_size=max(1, rows.num_rows))
        self.rows += rows.num_rows

    def close(self) -> DataFile:
        """Finish the file."""
        self._parquet.close()
        size = self.size
        self._out.close()
        metadata = self._parquet.writer.metadata
        return self.writing.listed(self.path, metadata, size, self.writing.schema, DataFileContent.DATA, self.partition)
