"""List and delete the files under a table's location: an S3 prefix by boto3, or a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import boto3
from botocore.config import Config
from pyiceberg.io import FileIO

from olist.settings import Settings

SIDE_BY_SIDE = 8


@dataclass(frozen=True)
class Stored:
    """A file: its path as the table's metadata would name it, its age's start and its size."""

    path: str
    modified_ms: int
    size: int


def stored(location: str, settings: Settings) -> Iterator[Stored]:
    """Every file under `location` (``s3://bucket/prefix``, ``file:///folder`` or a folder); none where it is empty."""
    if location.startswith("s3://"):
        yield from _on_s3(location, settings)
    else:
        yield from _on_disk(location)


def delete(io: FileIO, paths: Iterable[str]) -> int:
    """Delete files, several at once; those that are gone already are fine. Returns how many were asked for."""

    def one(path: str) -> None:
        with suppress(FileNotFoundError):
            io.delete(path)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return sum(1 for _ in pool.map(one, paths))


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
    for page in _client(settings).get_paginator("list_objects_v2").paginate(Bucket=where.netloc, Prefix=prefix):
        for item in page.get("Contents", ()):
            if item["Key"].endswith("/"):  # a marker of a folder, which some clients make
                continue
            modified_ms = int(item["LastModified"].timestamp() * 1000)
            yield Stored(f"s3://{where.netloc}/{item['Key']}", modified_ms, item["Size"])


def _client(settings: Settings) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_url,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        region_name=settings.s3_region,
        config=Config(s3={"addressing_style": "path"}),
    )
