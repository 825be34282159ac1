"""The nine files, from Kaggle's zip or from a folder it was unpacked to."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from olist.contracts import Contract
from olist.errors import BadInput
from olist.tables import CATEGORY_TRANSLATIONS, TABLES

WAY_OUT = "`olist download` fetches the data set from Kaggle, `olist generate` makes a synthetic one"


def file_name(contract: Contract) -> str:
    """The name of a table's file on Kaggle."""
    if contract is CATEGORY_TRANSLATIONS:
        return f"{contract.table}.csv"
    return f"olist_{contract.table}_dataset.csv"


def read_files(path: Path) -> dict[str, bytes]:
    """Every table's file, by table, from a zip or a folder.

    Raises:
        BadInput: nothing there, not a zip, a truncated or damaged one, or a file that is missing from it.
    """
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder", hint=WAY_OUT)
    return _from_folder(path) if path.is_dir() else _from_zip(path)


def _from_folder(folder: Path) -> dict[str, bytes]:
    found = {entry.name for entry in folder.iterdir()}
    _refuse_missing(folder, found)
    return {table: (folder / file_name(contract)).read_bytes() for table, contract in TABLES.items()}


def _from_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            # Some tools pack the folder around the files as well; the base name says which file it is.
            members = {Path(name).name: name for name in archive.namelist()}
            _refuse_missing(path, set(members))
            return {table: archive.read(members[file_name(contract)]) for table, contract in TABLES.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        cut = " It may be truncated: a zip's table of contents is at its end." if _starts_like_a_zip(path) else ""
        raise BadInput(f"{path}: not a readable zip: {error}.{cut}", hint=f"fetch it again: {WAY_OUT}") from error


def _refuse_missing(where: Path, found: set[str]) -> None:
    wanted = [file_name(contract) for contract in TABLES.values()]
    if missing := [name for name in wanted if name not in found]:
        there = ", ".join(sorted(found & set(wanted))) or "none of the nine files"
        raise BadInput(f"{where}: missing {', '.join(missing)} (there: {there})", hint=WAY_OUT)


def _starts_like_a_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
