"""DuckDB with its Iceberg extension from the wheels: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import duckdb

EXTENSIONS = ("avro", "iceberg")


@contextmanager
def duckdb_with_iceberg() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that knows `iceberg_scan`."""
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as connection:
        for name in EXTENSIONS:
            connection.execute(f"LOAD '{extension(name)}'")
        yield connection


def extension(name: str) -> Path:
    """The file of an extension's wheel."""
    folder = Path(import_module(f"duckdb_extension_{name}").__file__ or "").parent
    (found,) = folder.rglob("*.duckdb_extension")
    return found
