"""Columns to Parquet files that Iceberg can list: data files and position-delete files, with their statistics.

Engines leave a file out by its bounds, so one that is too narrow hides rows, while an absent one is always right. A
bound is therefore given only where every row group proves it: Parquet's writer leaves out the minimum and maximum of a
row group where either is above 4,096 bytes, and the other row groups then say nothing of the file. The same goes for
the count of nulls. Source: Iceberg specification, "Manifests" (`data_file`), and "Metrics" in its configuration.

Nothing refers to a written file until a commit does, and a sweep tells such files from orphans by age alone. A writer
that was paused between the two (SIGSTOP, a machine put to sleep) for longer than that would commit files that are gone,
so it writes them again instead (`may_be_swept`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.conversions import to_bytes
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    MetricsMode,
    compute_statistics_plan,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.typedef import Record
from pyiceberg.types import (
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
)

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

ORPHAN_MIN_AGE_MS = 86_400_000  # younger files may wait for their commit
MAX_UNCOMMITTED_MS = ORPHAN_MIN_AGE_MS // 2  # the other half is for clocks that differ, and for the commit itself

SURROGATES = range(0xD800, 0xE000)  # no text holds these code points, and UTF-8 cannot write them
LAST_POINT = 0x10FFFF
FULL = {"write.metadata.metrics.default": "full"}  # of a table's properties: bounds that are never truncated

BY_COLUMN = ("column_sizes", "value_counts", "null_value_counts", "lower_bounds", "upper_bounds")

_RAW = (IntegerType, LongType, DateType, TimestampType, TimestamptzType)  # whole numbers, whatever they stand for
_AS_READ = (StringType, DecimalType, FloatType, DoubleType)
_COUNTED = (MetricModeTypes.COUNTS, MetricModeTypes.TRUNCATE, MetricModeTypes.FULL)
_BOUNDED = (MetricModeTypes.TRUNCATE, MetricModeTypes.FULL)


@dataclass(frozen=True)
class FileWriter:
    """Where and how one table's files are written; made once per table state."""

    table: Table
    schema: Schema
    spec: PartitionSpec

    @classmethod
    def of(cls, table: Table) -> FileWriter:
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

    def __init__(self, file_writer: FileWriter, partition: Record, path: str) -> None:
        self.file_writer, self.partition, self.path = file_writer, partition, path
        self.rows = 0
        self._schema = schema_to_pyarrow(file_writer.schema, include_field_ids=True)
        self._out = file_writer.table.io.new_output(path).create()
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
        return self.file_writer.listed(
            self.path, metadata, size, self.file_writer.schema, DataFileContent.DATA, self.partition
        )


def file_statistics(metadata: Any, schema: Schema, properties: Mapping[str, str]) -> dict[str, Any]:
    """The statistics of a file as `DataFile.from_args` takes them.

    Args:
        metadata: Parquet's own, of a file whose columns are named as the schema's.
        schema: what it was written with.
        properties: the table's; those of ``write.metadata.metrics`` say which columns have bounds, and how long.
    """
    plan, ids = compute_statistics_plan(schema, dict(properties)), parquet_path_to_id_mapping(schema)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    found: dict[str, Any] = {
        "record_count": metadata.num_rows,
        "split_offsets": sorted(map(_offset, groups)),
        "nan_value_counts": {},
    }
    columns: dict[str, dict[int, Any]] = {name: {} for name in BY_COLUMN}
    for number in range(metadata.num_columns):
        chunks = [group.column(number) for group in groups]
        if not chunks:
            continue
        path = chunks[0].path_in_schema
        wanted = plan[ids[path]]
        for name, figure in _of_column(chunks, wanted.iceberg_type, wanted.mode, inside="." in path).items():
            columns[name][wanted.field_id] = figure
    return found | columns


def _offset(group: Any) -> int:
    first = group.column(0)
    at = int(first.data_page_offset)
    return min(at, int(first.dictionary_page_offset)) if first.has_dictionary_page else at


def _of_column(chunks: Sequence[Any], kind: PrimitiveType, mode: MetricsMode, *, inside: bool) -> dict[str, Any]:
    """The figures of one column. Of one inside a list only the size: its values are not counted by row."""
    figures: dict[str, Any] = {"column_sizes": sum(chunk.total_compressed_size for chunk in chunks)}
    if inside or mode.type not in _COUNTED:
        return figures
    figures["value_counts"] = sum(chunk.num_values for chunk in chunks)
    statistics = [chunk.statistics for chunk in chunks if chunk.num_values]
    if all(one is not None and one.has_null_count for one in statistics):
        figures["null_value_counts"] = sum(one.null_count for one in statistics)
        if mode.type in _BOUNDED:
            figures |= _bounds([one for one in statistics if one.num_values], kind, mode.length)
    return figures


def _bounds(statistics: Sequence[Any], kind: PrimitiveType, width: int | None) -> dict[str, bytes]:
    """Bounds of the row groups that hold a value: `statistics` has those of each; no bound where one proves none."""
    if not statistics or not isinstance(kind, _RAW + _AS_READ) or not all(one.has_min_max for one in statistics):
        return {}
    least, most = _extremes(statistics, kind)
    if isinstance(kind, StringType) and width is not None:
        least, most = least[:width], upper_bound(most, width)
    bounds = {"lower_bounds": to_bytes(kind, least)}
    return bounds if most is None else bounds | {"upper_bounds": to_bytes(kind, most)}


def _extremes(statistics: Iterable[Any], kind: PrimitiveType) -> tuple[Any, Any]:
    if isinstance(kind, _RAW):
        ends = [(one.min_raw, one.max_raw) for one in statistics]
    else:
        ends = [(one.min, one.max) for one in statistics]
    return min(least for least, _ in ends), max(most for _, most in ends)


def upper_bound(text: str, width: int) -> str | None:
    """The least text of at most `width` code points that is not below any text beginning as `text` does.

    It is `text` itself where that is short enough, and None where every code point is the last one.
    """
    if len(text) <= width:
        return text
    for at in reversed(range(width)):
        point = ord(text[at]) + 1
        if point <= LAST_POINT:
            return text[:at] + chr(SURROGATES.stop if point in SURROGATES else point)
    return None


def wall_ms() -> int:
    """Now, by the clock that a machine's sleep does not stop."""
    return time.time_ns() // 1_000_000


def may_be_swept(begun_ms: int, now_ms: int) -> bool:
    """Whether uncommitted files, the first of them begun at `begun_ms`, are too old to be committed."""
    return now_ms - begun_ms > MAX_UNCOMMITTED_MS
