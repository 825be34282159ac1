"""Typed frames from columns, and frames to CSV as Kaggle writes it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from olist.contracts import Contract, Timestamp
from olist.source.files import file_name
from olist.source.typed import TIME_FORMAT, frame_schema
from olist.tables import CATEGORY_TRANSLATIONS, ORDER_REVIEWS, TABLES

BOM = b"\xef\xbb\xbf"


def frame_of(contract: Contract, /, **columns: Any) -> pl.DataFrame:
    """A table's typed frame from its columns, each by its name."""
    schema = frame_schema(contract)
    return pl.DataFrame({name: columns[name] for name in schema}, schema_overrides=schema).cast(schema)  # type: ignore[arg-type] # cast takes the schema it gave


def money(cents: NDArray[np.int64]) -> pl.Series:
    """Amounts in cents as exact text with two decimals, which a frame takes as its decimal."""
    return (
        pl.DataFrame({"cents": cents})
        .select(pl.format("{}.{}", pl.col("cents") // 100, (pl.col("cents") % 100).cast(pl.String).str.zfill(2)))
        .to_series()
    )


def null_where(values: NDArray[Any], absent: NDArray[np.bool_]) -> pl.Series:
    """Values with nulls."""
    return pl.select(pl.when(pl.Series(~absent)).then(pl.Series(values))).to_series()


class CsvFolder:
    """The nine files, open and growing; a table's frames are appended in the order they come."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._files: dict[str, BinaryIO] = {
            table: (folder / file_name(contract)).open("wb") for table, contract in TABLES.items()
        }
        self._files[CATEGORY_TRANSLATIONS.table].write(BOM)
        for table, contract in TABLES.items():
            self._write(table, ",".join(column.name for column in contract.columns).encode() + newline_of(contract))

    def __enter__(self) -> CsvFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def append(self, contract: Contract, frame: pl.DataFrame) -> None:
        """Write rows. The translations, one small frame, end without a newline as the real ones do."""
        times = [column.name for column in contract.columns if isinstance(column.type, Timestamp)]
        shown = frame.with_columns(pl.col(times).cast(pl.Datetime("us")).dt.strftime(TIME_FORMAT))
        content = shown.write_csv(include_header=False, line_terminator=newline_of(contract).decode()).encode()
        self._write(contract.table, content.rstrip() if contract is CATEGORY_TRANSLATIONS else content)

    def _write(self, table: str, content: bytes) -> None:
        self._files[table].write(content)


def newline_of(contract: Contract) -> bytes:
    """Kaggle's line ends differ by file."""
    return b"\r\n" if contract in (CATEGORY_TRANSLATIONS, ORDER_REVIEWS) else b"\n"
