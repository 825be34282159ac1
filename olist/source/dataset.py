"""Read the whole data set: nine typed frames and a fingerprint that tells it from any other."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from olist.contracts import Contract
from olist.errors import BadInput, BadRow
from olist.source.files import file_name, read_files
from olist.source.layout import MEND, Layout, check_fields, decodable, lay_out
from olist.source.typed import iter_rows, reduce_geolocation, typed
from olist.tables import GEOLOCATION, TABLES

FINGERPRINT_BYTES = 6
LONGEST_HEADER = 4096
"""Bytes of a first line that are looked at: a file of another kind may have no second."""

__all__ = ["Dataset", "iter_rows", "load", "parse", "read"]


@dataclass(frozen=True)
class Dataset:
    """Typed frames by table, geolocation already one row per zip prefix, and the fingerprint of the files' bytes."""

    frames: dict[str, pl.DataFrame]
    fingerprint: str


def read(path: Path) -> dict[str, pl.DataFrame]:
    """The typed frames of a zip or folder, by table; columns in contract order, times as int64 microseconds.

    Raises:
        BadInput: see `load`.
    """
    return load(path).frames


def load(path: Path) -> Dataset:
    """Read and check everything before anything is used.

    Raises:
        BadInput: a file is missing, damaged, not UTF-8, or has other columns than its contract.
        BadRow: a field its column cannot hold, or a key that is there twice.
    """
    files = read_files(path)
    frames = {table: parse(contract, files[table]) for table, contract in TABLES.items()}
    return Dataset(frames, fingerprint(files))


def fingerprint(files: Mapping[str, bytes]) -> str:
    """Twelve hex digits of the files' bytes: the same from a zip and from the folder it was unpacked to."""
    digest = hashlib.sha256()
    for table in TABLES:
        digest.update(hashlib.sha256(files[table]).digest())
    return digest.hexdigest()[: 2 * FINGERPRINT_BYTES]


def parse(contract: Contract, content: bytes) -> pl.DataFrame:
    """One file's bytes as its table's typed frame.

    Raises:
        BadInput: not UTF-8, or other columns than the contract's.
        BadRow: the first line that the contract refuses.
    """
    file = file_name(contract)
    content = decodable(file, content)
    layout = lay_out(file, content)
    _check_header(file, contract, content)
    check_fields(layout, [column.name for column in contract.columns], content)
    frame = typed(contract, _text_columns(contract, content, layout), layout)
    if contract is GEOLOCATION:
        return reduce_geolocation(frame)
    _refuse_repeated_keys(contract, frame, layout)
    return frame


def _text_columns(contract: Contract, content: bytes, layout: Layout) -> pl.DataFrame:
    """The records below the header, whose fields are counted and well quoted."""
    schema = {column.name: pl.String() for column in contract.columns}
    records = content[int(layout.starts[1]) :] if len(layout.starts) > 1 else b""
    # Below a header of our own: the reader would take a byte order mark off the first field, and split other headers.
    return pl.read_csv(",".join(schema).encode() + b"\n" + records, schema=schema)


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error:  # a carriage return within it: it is a header of no contract either way
        return line.split(",")


def _check_header(file: str, contract: Contract, content: bytes) -> None:
    header = content.partition(b"\n")[0][:LONGEST_HEADER].decode(errors="replace")
    found = _fields(header.rstrip("\r"))
    expected = [column.name for column in contract.columns]
    if found == expected:
        return
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    told = [f"missing: {', '.join(missing)}"] if missing else []
    told += [f"not in the contract: {', '.join(unknown)}"] if unknown else []
    raise BadInput(
        f"{file}, line 1: wrong columns ({'; '.join(told) or 'the right names in another order, or twice'})\n"
        f"  expected: {', '.join(expected)}\n  found:    {', '.join(found)}",
        hint="these are the files of Kaggle's olistbr/brazilian-ecommerce; `olist download` fetches them",
    )


def _refuse_repeated_keys(contract: Contract, frame: pl.DataFrame, layout: Layout) -> None:
    key = list(contract.key)
    repeated = frame.select(key).is_duplicated()
    if not repeated.any():
        return
    seen: dict[tuple[object, ...], int] = {}
    for row in repeated.arg_true().to_list():
        values = frame.select(key).row(row)
        if values in seen:
            told = ", ".join(map(repr, values))
            reason = f"the key {told} is there already, on line {layout.line(seen[values])}"
            raise BadRow(layout.file, layout.line(row), ", ".join(key), reason, hint=MEND)
        seen[values] = row
