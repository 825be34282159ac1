"""Each line of docs/guarantees.md names the test that shows it, and that test is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)?::(test_\w+)`")  # a second test of the same file leaves the file out


def lines() -> list[str]:
    """The tables' lines, their headings left out."""
    tables = re.findall(r"^\|(?:-+\|)+\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    return [line for table in tables for line in table.splitlines()]


def named_tests(line: str) -> Iterator[tuple[str, str]]:
    """File and name of each test in a line."""
    file = ""
    for path, name in NAMED.findall(line):
        file = path or file
        yield file, name


def test_each_guarantee_names_a_test_that_is_there() -> None:
    assert len(lines()) > 50
    assert [line for line in lines() if not list(named_tests(line))] == []
    named = {test for line in lines() for test in named_tests(line)}
    texts = {file: (ROOT / file).read_text() for file, _name in named}
    assert [(file, name) for file, name in sorted(named) if f"def {name}(" not in texts[file]] == []
