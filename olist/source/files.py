"""The nine files, from Kaggle's zip or from a folder it was unpacked to."""

from __future__ import annotations

import gzip
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from olist.contracts import Contract
from olist.errors import BadInput
from olist.tables import CATEGORY_TRANSLATIONS, TABLES

WAY_OUT = "`olist download` fetches the data set from Kaggle, `olist generate` makes a synthetic one"
UNPACK = "unpack it with another program (7z x, unzip) and give the folder"
SHOWN_NAMES = 5
ENCRYPTED = 0x1
"""Bit of a zip member's flags."""

# What the standard library raises for the bytes of an archive; a NotImplementedError is a way to pack that it lacks.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True)
class Entry:
    """A file of a folder or an archive: its name there, and how to read it."""

    name: str
    read: Callable[[], bytes]

    @property
    def plain_name(self) -> str:
        """What the file is called, however it was packed: without folders, case or ``.gz``."""
        return PurePosixPath(self.name.replace("\\", "/")).name.casefold().removesuffix(".gz")

    def content(self, where: Path) -> bytes:
        """Its bytes, unpacked.

        Raises:
            BadInput: they cannot be read; with the reason.
        """
        try:
            content = self.read()
            return gzip.decompress(content) if self.name.casefold().endswith(".gz") else content
        except IsADirectoryError as error:
            raise BadInput(
                f"{where}: {self.name} is a folder, and a file should be there",
                hint="some programs unpack a file into a folder of its name: move it out of there",
            ) from error
        except NotImplementedError as error:
            raise BadInput(f"{where}: {self.name}: {error}", hint=UNPACK) from error
        except UNREADABLE as error:
            raise _unreadable(where, f"{self.name}: {error}") from error


def file_name(contract: Contract) -> str:
    """The name of a table's file on Kaggle."""
    if contract is CATEGORY_TRANSLATIONS:
        return f"{contract.table}.csv"
    return f"olist_{contract.table}_dataset.csv"


def read_files(path: Path) -> dict[str, bytes]:
    """Every table's file, by table, from a zip or a folder; a file may be packed as ``.csv.gz``.

    Raises:
        BadInput: nothing there, not a zip, one that is truncated, damaged or encrypted, or a file that is missing, or
            there twice with different contents.
    """
    mode = _mode(path)
    try:
        if stat.S_ISDIR(mode):
            return _contents(path, _in_folder(path))
        with zipfile.ZipFile(path) as archive:
            return _contents(path, _in_zip(path, archive))
    except UNREADABLE as error:
        raise _unreadable(path, str(error)) from error


def _mode(path: Path) -> int:
    """What is there: a file or a folder.

    Raises:
        BadInput: neither, or nothing, or it cannot be known.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(f"{path}: no such file or folder", hint=WAY_OUT) from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {error}", hint=WAY_OUT) from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise BadInput(f"{path}: neither a file nor a folder", hint=WAY_OUT)
    return mode


def _in_folder(folder: Path) -> Iterator[Entry]:
    for entry in sorted(folder.iterdir()):
        yield Entry(entry.name, entry.read_bytes)


def _in_zip(path: Path, archive: zipfile.ZipFile) -> Iterator[Entry]:
    """Every member that is no folder. Some tools pack the folder around the files as well."""
    for member in archive.infolist():
        if not member.is_dir():
            yield Entry(member.filename, lambda member=member: _member(path, archive, member))  # type: ignore[misc]


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & ENCRYPTED:
        raise BadInput(f"{path}: {member.filename} is encrypted", hint=UNPACK)
    if stat.S_ISLNK(member.external_attr >> 16):
        raise BadInput(f"{path}: {member.filename} is a link", hint=UNPACK)
    return archive.read(member)


def _contents(where: Path, entries: Iterable[Entry]) -> dict[str, bytes]:
    there: dict[str, list[Entry]] = {}
    for entry in entries:
        there.setdefault(entry.plain_name, []).append(entry)
    _refuse_missing(where, there)
    return {table: _one_content(where, there[file_name(contract)]) for table, contract in TABLES.items()}


def _one_content(where: Path, same: list[Entry]) -> bytes:
    """The content of the entries of one name; which of several is meant is not ours to guess."""
    first, *others = same
    content = first.content(where)
    for other in others:
        if other.content(where) != content:
            raise BadInput(
                f"{where}: {first.name} and {other.name} are the same file with different contents",
                hint="remove the one that is not meant",
            )
    return content


def _refuse_missing(where: Path, there: dict[str, list[Entry]]) -> None:
    wanted = [file_name(contract) for contract in TABLES.values()]
    if missing := [name for name in wanted if name not in there]:
        found = ", ".join(name for name in wanted if name in there) or "none of the nine files"
        raise BadInput(f"{where}: missing {', '.join(missing)} (there: {found})", hint=_what_else(there))


def _what_else(there: dict[str, list[Entry]]) -> str:
    """The way out, with what lies there under other names."""
    wanted = {file_name(contract) for contract in TABLES.values()}
    other = [entries[0].name for name, entries in there.items() if name not in wanted]
    if packed := [name for name in other if name.casefold().endswith((".zip", ".7z", ".rar", ".tar", ".tgz", ".gz"))]:
        return f"unpack {packed[0]} and give what comes out of it, or {WAY_OUT}"
    if tables := [name for name in other if name.casefold().endswith(".csv")]:
        names = ", ".join(tables[:SHOWN_NAMES])
        return f"files of other names are there ({names}): rename those that are meant, or {WAY_OUT}"
    return WAY_OUT


def _unreadable(where: Path, reason: str) -> BadInput:
    if where.is_dir():
        return BadInput(f"{where}: {reason}", hint=WAY_OUT)
    cut = " It may be truncated: a zip's table of contents is at its end." if _starts_like_a_zip(where) else ""
    return BadInput(f"{where}: not a readable zip: {reason}.{cut}", hint=f"fetch it again: {WAY_OUT}")


def _starts_like_a_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False
