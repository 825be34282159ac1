"""The apps there are, found by looking: every file of `apps/` that ends in ``APP = ...``."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from olist.contracts import Contract
from olist.errors import BadInput
from stream_apps.app import App

FOLDER = Path(__file__).parent / "apps"
FORMER_FOLDER = Path(__file__).parent
"""Where apps stood in earlier releases; one that a user wrote there is found still."""

MOVED = {
    "stream_apps.flink.rows": "stream_apps.flink_sql.rows",
    "stream_apps.flink.text": "stream_apps.flink_sql.text",
    "stream_apps.lexicon": "stream_apps.apps.lexicon",
    "stream_apps.lexicon.complaints": "stream_apps.apps.lexicon.complaints",
    "stream_apps.lexicon.language": "stream_apps.apps.lexicon.language",
    "stream_apps.lexicon.words": "stream_apps.apps.lexicon.words",
}
"""What app files of earlier releases import, and where it is now: deployed versions are copies of such files."""


@lru_cache(maxsize=1)
def apps() -> dict[str, App]:
    """Every app by name.

    Raises:
        BadInput: an app that is not named as its file is, or two apps that write one table.
    """
    alias_moved()
    found: dict[str, App] = {}
    writers: dict[str, str] = {}
    for path, module in _app_files():
        app: App = importlib.import_module(module).APP
        if app.name != path.stem:
            raise BadInput(f"{path}: its app is named {app.name}", hint=f"name it {path.stem}, as its file is")
        for contract in app.outputs:
            if other := writers.get(contract.table):
                raise BadInput(f"{path}: {contract.table} is written by {other} already", hint="one writer per table")
            writers[contract.table] = app.name
        found[app.name] = app
    return found


def contracts() -> dict[str, Contract]:
    """The apps' outputs by table: what `olist.contract_registry` finds under its entry point."""
    return {contract.table: contract for app in apps().values() for contract in app.outputs}


def app_file(name: str) -> Path:
    """The working tree's file of an app.

    Raises:
        BadInput: there is no such app.
    """
    path, former = (folder / f"{name}.py" for folder in (FOLDER, FORMER_FOLDER))
    if path.exists():
        return path
    if former.exists() and _declares_an_app(former):
        return former
    known = ", ".join(apps()) or "none"
    raise BadInput(f"no app named {name}", hint=f"apps: {known}; --file PATH for an app elsewhere")


@lru_cache(maxsize=1)
def alias_moved() -> None:
    """Let app files import by their former names what they imported in earlier releases."""
    for former, now in MOVED.items():
        sys.modules.setdefault(former, importlib.import_module(now))


def _app_files() -> Iterator[tuple[Path, str]]:
    """Files that declare an app, with their modules' names."""
    for folder, package in ((FOLDER, f"{__package__}.apps"), (FORMER_FOLDER, f"{__package__}")):
        for path in sorted(folder.glob("*.py")):
            if _declares_an_app(path):
                yield path, f"{package}.{path.stem}"


def _declares_an_app(path: Path) -> bool:
    """True if a file assigns ``APP`` at its top; it is not imported."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "APP" for t in node.targets):
            return True
    return False
