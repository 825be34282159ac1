"""The views by their files: what each one reads, and what it says of itself. Pure: text in, no connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

from sinks.postgres.mart_views import SCHEMA
from sinks.postgres.schema import SCHEMA as WAREHOUSE

FOLDER = Path(__file__).parent / "views"

TEXT = r"IS\s+'((?:[^']|'')*)'"
OF_VIEW = re.compile(rf"COMMENT ON VIEW {SCHEMA}\.\w+ {TEXT}")
OF_COLUMN = re.compile(rf"COMMENT ON COLUMN {SCHEMA}\.\w+\.(\w+) {TEXT}")
TABLE = re.compile(rf"\b{WAREHOUSE}\.(\w+)")
OTHER_VIEW = re.compile(rf"\b{SCHEMA}\.(\w+)")


@dataclass(frozen=True)
class MartView:
    """One file: the view's name, its statements, and the tables and other views that it reads."""

    name: str
    sql: str

    @property
    def qualified(self) -> str:
        """The name with its schema."""
        return f"{SCHEMA}.{self.name}"

    @property
    def tables(self) -> tuple[str, ...]:
        """The warehouse tables that it reads, qualified."""
        return tuple(f"{WAREHOUSE}.{name}" for name in sorted(set(TABLE.findall(self._query))))

    @property
    def views(self) -> tuple[str, ...]:
        """The other views that it reads, by plain name."""
        return tuple(sorted(set(OTHER_VIEW.findall(self._query)) - {self.name}))

    @property
    def comment(self) -> str:
        """What it is; its grain."""
        found = OF_VIEW.search(self.sql)
        return _unquoted(found[1]) if found else ""

    @property
    def columns(self) -> dict[str, str]:
        """Documented columns with what they are."""
        return {name: _unquoted(text) for name, text in OF_COLUMN.findall(self.sql)}

    @property
    def _query(self) -> str:
        return self.sql.partition("COMMENT ON")[0]


@lru_cache(maxsize=1)
def mart_views() -> dict[str, MartView]:
    """Every view by name, each after those that it reads."""
    found = {path.stem: MartView(path.stem, path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.sql"))}
    order = TopologicalSorter({name: view.views for name, view in found.items()}).static_order()
    return {name: found[name] for name in order}


def _unquoted(text: str) -> str:
    return text.replace("''", "'")
