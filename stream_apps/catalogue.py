"""The apps of this folder, found by looking: every file beside this one that ends in ``APP = ...``."""

from __future__ import annotations

import ast
import importlib
from functools import lru_cache
from pathlib import Path

from olist.contracts import Contract
from olist.errors import BadInput
from stream_apps.app import App

FOLDER = Path(__file__).parent


@lru_cache(maxsize=1)
def apps() -> dict[str, App]:
    """Every app by name.

    Raises:
        BadInput: an app that is not named as its file is, or two apps that write one table.
    """
    found: dict[str, App] = {}
    writers: dict[str, str] = {}
    for path in sorted(FOLDER.glob("*.py")):
        if not _declares_an_app(path):
            continue
        app: App = importlib.import_module(f"{__package__}.{path.stem}").APP
        if app.name != path.stem:
            raise BadInput(f"{path}: its app is named {app.name}", hint=f"name it {path.stem}, as its file is")
        for contract in app.outputs:
            if other := writers.get(contract.table):
                raise BadInput(f"{path}: {contract.table} is written by {other} already", hint="one writer per table")
            writers[contract.table] = app.name
        found[app.name] = app
    return found


def contracts() -> dict[str, Contract]:
    """The apps' outputs by table: what `olist.derived` finds under its entry point."""
    return {contract.table: contract for app in apps().values() for contract in app.outputs}


def _declares_an_app(path: Path) -> bool:
    """Whether a file assigns ``APP`` at its top, without importing it."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "APP" for t in node.targets):
            return True
    return False
