"""The derived files and how each is made. A target adds its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from olist.settings import Settings
from olist.tables import TABLES
from sinks.opensearch.mapping import index_body, index_name
from sinks.postgres.schema import create_table
from stream_apps.app import FlinkApp
from stream_apps.catalogue import apps
from stream_apps.flink.ddl import insert, statements

FOLDER = Path(__file__).parent
RENEW = "python -m tests.golden"


def postgres() -> str:
    """Every table's DDL."""
    return "".join(f"{create_table(contract)};\n\n" for contract in TABLES.values()).rstrip() + "\n"


def opensearch() -> str:
    """What every table's index is made with."""
    bodies = {index_name(contract): index_body(contract) for contract in TABLES.values()}
    return json.dumps(bodies, indent=2, ensure_ascii=False) + "\n"


def flink(app: FlinkApp) -> str:
    """The statements of one app."""
    settings = Settings(kafka="127.0.0.1:9092", topic_prefix="olist.public")
    return ";\n\n".join([*statements(settings, app), insert(settings, app)]) + ";\n"


DERIVED: dict[str, Callable[[], str]] = {
    "postgres.sql": postgres,
    "opensearch.json": opensearch,
    **{f"{name}.flink.sql": partial(flink, app) for name, app in apps().items() if isinstance(app, FlinkApp)},
}


def renew() -> list[Path]:
    """Write the files that are stale; return them."""
    stale = [(FOLDER / name, make()) for name, make in DERIVED.items() if not is_fresh(name)]
    for path, text in stale:
        path.write_text(text, encoding="utf-8")
    return [path for path, _ in stale]


def is_fresh(name: str) -> bool:
    """Whether the committed file is what the contracts say."""
    path = FOLDER / name
    return path.exists() and path.read_text(encoding="utf-8") == DERIVED[name]()
