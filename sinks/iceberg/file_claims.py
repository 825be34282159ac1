"""What a manifest claims of a data file, compared with the file's rows.

Bounds, null counts and the lake partition let engines skip a file that cannot hold what is asked for. A claim that is
not true hides rows from filtered reads, and from nothing else. Source: Iceberg specification, "Manifests" (`data_file`)
and "Scan Planning".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.types import NestedField, PrimitiveType, TimestampType


class FileClaims:
    """Sees a file's rows, deleted ones included, and then says which claims are not true."""

    def __init__(self, table: Table, file: DataFile) -> None:
        self._table, self._file = table, file
        self._rows = 0
        self._nulls: dict[str, int] = {}
        self._ranges: dict[str, tuple[Any, Any]] = {}
        self._fields = [field for field in table.schema().fields if isinstance(field.field_type, PrimitiveType)]

    def see(self, frame: pl.DataFrame) -> None:
        """The file's next rows."""
        self._rows += frame.height
        here = [field for field in self._fields if field.name in frame.columns]
        seen = frame.select(
            expression
            for field in here
            for expression in (
                pl.col(field.name).min().alias(f"min {field.name}"),
                pl.col(field.name).max().alias(f"max {field.name}"),
                pl.col(field.name).null_count().alias(f"nulls {field.name}"),
            )
        ).row(0, named=True)
        for name in (field.name for field in here):
            self._nulls[name] = self._nulls.get(name, 0) + seen[f"nulls {name}"]
            if seen[f"min {name}"] is not None:
                low, high = self._ranges.get(name, (seen[f"min {name}"], seen[f"max {name}"]))
                self._ranges[name] = min(low, seen[f"min {name}"]), max(high, seen[f"max {name}"])

    def problems(self) -> Iterator[str]:
        """What the manifest says of the file that is not so."""
        where = self._file.file_path.rpartition("/")[2]
        if self._file.record_count != self._rows:
            yield f"{where}: its manifest says {self._file.record_count} rows, it has {self._rows}"
        for field in self._fields:
            yield from (f"{where}: {problem}" for problem in self._of_column(field))
        yield from (f"{where}: {problem}" for problem in self._of_partition())

    def _of_column(self, field: NestedField) -> Iterator[str]:
        nulls = (self._file.null_value_counts or {}).get(field.field_id)
        if field.name in self._nulls and nulls is not None and nulls != self._nulls[field.name]:
            yield f"its manifest says {nulls} nulls in {field.name}, it has {self._nulls[field.name]}"
        if field.name not in self._ranges:
            return
        least, most = self._ranges[field.name]
        lower, upper = self._bound(self._file.lower_bounds, field), self._bound(self._file.upper_bounds, field)
        if lower is not None and least < lower:
            yield f"its manifest says {field.name} begins at {lower!r}, it has {least!r}"
        if upper is not None and most > upper:
            yield f"its manifest says {field.name} ends at {upper!r}, it has {most!r}"

    def _bound(self, bounds: dict[int, bytes] | None, field: NestedField) -> Any:
        found = (bounds or {}).get(field.field_id)
        if found is None or not isinstance(field.field_type, PrimitiveType):
            return None
        value = from_bytes(field.field_type, found)
        if isinstance(field.field_type, TimestampType):
            return pl.Series([value], dtype=pl.Int64).cast(pl.Datetime("us"))[0]
        return value

    def _of_partition(self) -> Iterator[str]:
        """A file's partition value is that of each of its rows."""
        spec = self._table.specs()[self._file.spec_id]
        for at, part in enumerate(spec.fields):
            name = self._table.schema().find_column_name(part.source_id)
            if name is None or not isinstance(part.transform, MonthTransform | IdentityTransform):
                continue
            claimed = self._file.partition[at]
            values = {
                _month(one) if isinstance(part.transform, MonthTransform) else one for one in self._ranges.get(name, ())
            }
            nulls = {None} if self._nulls.get(name) else set()
            if wrong := (values | nulls) - {claimed}:
                yield f"it is in the lake partition {part.name}={claimed}, and holds {', '.join(map(str, wrong))}"


def _month(value: Any) -> int:
    """Months since 1970-01."""
    return (int(value.year) - 1970) * 12 + int(value.month) - 1
