"""An app out of a file that need not be importable by a name: a version's own copy of it."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import lru_cache
from pathlib import Path

from olist.errors import BadInput
from stream_apps.app import App, FaustApp, FlinkApp
from stream_apps.catalogue import alias_moved
from stream_apps.records import EngineName


def load_app(path: Path) -> App:
    """The ``APP`` of a file.

    Raises:
        BadInput: the file is not there, does not run, or declares no app of its own name.
    """
    try:
        code = path.read_bytes()
    except FileNotFoundError as error:
        raise BadInput(
            f"there is no file {path}", hint="`olist apps list`; --file PATH for an app elsewhere"
        ) from error
    name = f"{path.stem}_{hashlib.sha256(code).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise BadInput(f"{path} is no Python file")
    alias_moved()
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # rows' annotations are looked up in their module, by its name
    try:
        # Not by the loader: its cache takes a file for unchanged that was written twice within a second, at one size.
        exec(compile(code, path, "exec"), module.__dict__)
    except Exception as error:  # it is the user's code: whatever it raises is theirs to read
        del sys.modules[name]
        raise BadInput(f"{path}: {type(error).__name__}: {error}") from error
    app = getattr(module, "APP", None)
    if not isinstance(app, FlinkApp | FaustApp):
        raise BadInput(f"{path} declares no app", hint="end it in APP = FlinkApp(...) or APP = FaustApp(...)")
    if app.name != path.stem:
        raise BadInput(f"{path}: its app is named {app.name}", hint=f"name it {path.stem}, as its file is")
    return app


def loaded(code: Path) -> App:
    """As `load_app`, but once for a version's copy, which never changes."""
    return _loaded(code, code.stat().st_mtime_ns) if code.exists() else load_app(code)


@lru_cache(maxsize=64)
def _loaded(code: Path, _changed_ns: int) -> App:
    return load_app(code)


def engine_of(app: App) -> EngineName:
    """Which engine runs it."""
    return "flink" if isinstance(app, FlinkApp) else "faust"
