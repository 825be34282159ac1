"""What a Parquet footer proves of a file, as a manifest lists it: sizes, counts and bounds. Pure.

Engines leave a file out by its bounds, so one that is too narrow hides rows, while an absent one is always right. A
bound is therefore given only where every row group proves it: Parquet's writer leaves out the minimum and maximum of a
row group where either is above 4,096 bytes, and the other row groups then say nothing of the file. The same goes for
the count of nulls. Source: Iceberg specification, "Manifests" (`data_file`), and "Metrics" in its configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pyiceberg.conversions import to_bytes
from pyiceberg.io.pyarrow import (
    MetricModeTypes,
    MetricsMode,
    compute_statistics_plan,
    parquet_path_to_id_mapping,
)
from pyiceberg.schema import Schema
from pyiceberg.types import (
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
)

SURROGATES = range(0xD800, 0xE000)  # no text holds these code points, and UTF-8 cannot write them
LAST_POINT = 0x10FFFF
FULL = {"write.metadata.metrics.default": "full"}  # of a table's properties: bounds that are never truncated

BY_COLUMN = ("column_sizes", "value_counts", "null_value_counts", "lower_bounds", "upper_bounds")

_RAW = (IntegerType, LongType, DateType, TimestampType, TimestamptzType)  # whole numbers, whatever they stand for
_AS_READ = (StringType, DecimalType, FloatType, DoubleType)
_COUNTED = (MetricModeTypes.COUNTS, MetricModeTypes.TRUNCATE, MetricModeTypes.FULL)
_BOUNDED = (MetricModeTypes.TRUNCATE, MetricModeTypes.FULL)


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
