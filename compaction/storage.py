"""List and delete the files under a table's location: an S3 prefix by boto3, or a folder.

Engines spell one path in many ways; `canonical` makes them one, so that a file is compared with what refers to it.
Where two files share a canonical path, both count as referred to: one too many is kept, none too many deleted.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from pyiceberg.io import FileIO
from pyiceberg.table import Table

from compaction.options import may_delete
from olist.clients.s3 import client, file_properties
from olist.settings import Settings

MOST_IN_A_REQUEST = 1000  # S3's own limit


@dataclass(frozen=True)
class Stored:
    """A file: its path as the table's metadata would name it, its age's start and its size."""

    path: str
    modified_ms: int
    size: int


def stored(location: str, settings: Settings) -> Iterator[Stored]:
    """Every file under `location` (``s3://bucket/prefix``, ``file:///folder`` or a folder); none where it is empty."""
    if _is_on_s3(location):
        yield from _on_s3(location, settings)
    else:
        yield from _on_disk(location)


def canonical(path: str) -> str:
    """One spelling for a path, whichever of these an engine has chosen.

    ``s3a://`` and ``s3n://`` are ``s3://``; ``file:/x``, ``file:///x`` and ``file://localhost/x`` are ``/x``, links
    followed; doubled slashes are one; percent-encoded characters are themselves, however often they were encoded.
    """
    while (decoded := unquote(path)) != path:
        path = decoded
    if _is_on_s3(path):
        return "s3://" + _one_slash(path.partition("://")[2])
    path = _one_slash(re.sub(r"^file:(//(localhost)?(?=/))?", "", path))
    folder, _, name = path.rpartition("/")
    return f"{_real(folder)}/{name}"


def _is_on_s3(path: str) -> bool:
    return path.startswith(("s3://", "s3a://", "s3n://"))


def _one_slash(path: str) -> str:
    return re.sub("/+", "/", path)


@lru_cache(maxsize=1 << 12)
def _real(folder: str) -> str:
    return os.path.realpath(folder or "/").rstrip("/")


def discard(table: Table, paths: Iterable[str]) -> int:
    """Delete files of a table as `delete` does, or none where the table says ``gc.enabled=false``."""
    return delete(table.io, paths) if may_delete(table.properties) else 0


def delete(io: FileIO, paths: Iterable[str]) -> int:
    """Delete files; those that are gone already are fine. Returns how many were asked for.

    On S3 a thousand go in one request: one by one (and PyArrow asks thrice for each) a busy table's expired files came
    faster than they went, and its compaction stood still meanwhile.

    Raises:
        OSError: storage keeps a file, with what it said.
    """
    paths = list(paths)
    on_s3 = [path for path in paths if _is_on_s3(path)]
    for bucket, keys in _by_bucket(on_s3).items():
        s3 = client(io.properties)
        for first in range(0, len(keys), MOST_IN_A_REQUEST):
            _delete_on_s3(s3, bucket, keys[first : first + MOST_IN_A_REQUEST])
    for path in set(paths) - set(on_s3):
        with suppress(FileNotFoundError):
            io.delete(path)
    return len(paths)


def _delete_on_s3(client: Any, bucket: str, keys: list[str]) -> None:
    asked = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    errors = client.delete_objects(Bucket=bucket, Delete=asked).get("Errors", [])
    if kept := [error for error in errors if error.get("Code") != "NoSuchKey"]:
        raise OSError(f"s3://{bucket}/{kept[0]['Key']} and {len(kept) - 1} more: {kept[0].get('Message')}")


def _by_bucket(paths: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        bucket, _, key = path.partition("://")[2].partition("/")
        found.setdefault(bucket, []).append(key)
    return found


def _on_disk(location: str) -> Iterator[Stored]:
    prefix = location.removesuffix("/")
    folder = Path(unquote(urlparse(prefix).path)) if prefix.startswith("file:") else Path(prefix)
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # deleted while we look
            about = path.stat()
            if path.is_file():
                yield Stored(f"{prefix}/{path.relative_to(folder)}", about.st_mtime_ns // 1_000_000, about.st_size)


def _on_s3(location: str, settings: Settings) -> Iterator[Stored]:
    where = urlparse(location)
    prefix = where.path.strip("/") + "/"
    pages = client(file_properties(settings)).get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=where.netloc, Prefix=prefix):
        for item in page.get("Contents", ()):
            if item["Key"].endswith("/"):  # a marker of a folder, which some clients make
                continue
            modified_ms = int(item["LastModified"].timestamp() * 1000)
            yield Stored(f"s3://{where.netloc}/{item['Key']}", modified_ms, item["Size"])
