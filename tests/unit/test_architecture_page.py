"""The page that newcomers read first names no file that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATH = re.compile(r"`((?:[\w.]+/)+[\w.]*|\w+\.py)`")


def named_paths() -> Iterator[tuple[str, str]]:
    """The folder that a line names first, and each path it names, from the root or from that folder."""
    for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines():
        paths = PATH.findall(line)
        yield from ((paths[0], path) for path in paths)


def test_the_architecture_names_files_and_folders_that_are_there() -> None:
    named = set(named_paths())
    assert len(named) > 40
    assert [path for folder, path in sorted(named) if not any((ROOT / f / path).exists() for f in ("", folder))] == []


def test_the_architecture_is_one_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120
