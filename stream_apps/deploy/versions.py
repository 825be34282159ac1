"""Make a version: its own copy of the app's file, and what its engine is given, rendered from that copy."""

from __future__ import annotations

import hashlib
import shutil
from difflib import unified_diff
from pathlib import Path

from stream_apps.deploy.engine import Engine, Place
from stream_apps.deploy.folder import Deployment
from stream_apps.deploy.loading import load_app
from stream_apps.deploy.record import Record, Version

SHOWN = ("*.py", "*.sql", "app.json")
"""Files of a version whose difference is for people."""
DRAFT = 0
"""The number of the folder of a version that is only looked at: `--plan` and the question whether anything differs."""


def place(deployment: Deployment, record: Record, number: int) -> Place:
    """A version, as an engine needs to know it."""
    return placed(deployment, number, record.versions[number].generation, record.parallelism)


def placed(deployment: Deployment, number: int, generation: int, parallelism: int) -> Place:
    """As `place`, for a version that no record holds."""
    return Place(deployment.name, deployment.version(number), deployment.state, number, generation, parallelism)


def make(engine: Engine, where: Place, code: Path, now: float, *, after: Place | None = None) -> Version:
    """Copy the file, render it, and say what was made; a folder left by one that was never begun is replaced.

    `after` is the version whose state it is to take over.

    Raises:
        BadInput: the file is no app.
    """
    shutil.rmtree(where.folder, ignore_errors=True)
    where.folder.mkdir(parents=True)
    shutil.copyfile(code, where.code)
    engine.render(load_app(where.code), where, after=after)
    return Version(number=where.number, generation=where.generation, digest=digest(code), made=now)


def digest(code: Path) -> str:
    """Two files of the same digest are the same version."""
    return hashlib.sha256(code.read_bytes()).hexdigest()


def difference(old: Place, new: Place) -> str:
    """A unified diff of every file of two versions; empty when they are equal."""
    names = sorted({path.name for where in (old, new) for shown in SHOWN for path in where.folder.glob(shown)})
    return "".join(_diff(old.folder / name, new.folder / name, old, new) for name in names)


def _diff(before: Path, after: Path, old: Place, new: Place) -> str:
    told = f"version {new.number}" if new.number != DRAFT else "working tree"
    return "".join(
        unified_diff(_lines(before), _lines(after), f"{before.name} (version {old.number})", f"{after.name} ({told})")
    )


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
