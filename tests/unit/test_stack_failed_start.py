from __future__ import annotations

from pathlib import Path

import pytest

from olist.errors import StackError
from olist.settings import Settings
from olist.stack.local import Stack
from olist.stack.servers.server import free_ports

VERSION = 'echo "postgres (PostgreSQL) 18.4"; [ "$1" = --version ]'
"""A program that has a version and no other use: it ends with code 1."""


def test_a_start_that_fails_stops_the_supervisor_that_it_started(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    tmp_path.chmod(0o755)
    for name in ("postgres", "initdb", "pg_ctl"):
        (programs / name).write_text(f"#!/bin/sh\n{VERSION}\n")
        (programs / name).chmod(0o755)
    port = free_ports(1, after=27000)[0]
    settings = Settings(home=tmp_path / "home", postgres=None, postgres_bin=programs, postgres_port=port)
    stack = Stack(settings, ["postgres"])
    with pytest.raises(StackError, match="postgres crashed"):
        stack.up()
    assert stack.home.supervisor() is None
    assert not stack.home.state.exists()
