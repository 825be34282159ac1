"""What applying would do: each view of the files beside the one in the database, without changing anything.

The files' views are made in a schema that is rolled back, and read back the way the views there are: so texts are
compared as PostgreSQL writes them, columns with their types.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Literal

import psycopg
from psycopg.errors import UndefinedColumn

from olist.errors import Stopped
from sinks.postgres.connection import reason
from sinks.postgres.mart_views import SCHEMA, StoredView, all_views
from sinks.postgres.marts.catalogue import MartView, mart_views

DRAFT = f"{SCHEMA}_draft"
EXISTS = b"SELECT to_regclass(%s) IS NOT NULL"

State = Literal["new", "changed", "unchanged", "waiting"]


@dataclass(frozen=True)
class Planned:
    """One view: as it is there (None: not), as its file would make it (None: it waits for `missing`)."""

    view: MartView
    there: StoredView | None
    wanted: StoredView | None
    missing: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """What applying would do with it."""
        if self.wanted is None:
            return "waiting"
        if self.there is None:
            return "new"
        return "unchanged" if _text(self.there) == _text(self.wanted) else "changed"

    @property
    def difference(self) -> list[str]:
        """From the view there to the file's, as a unified diff."""
        there, wanted = (_text(view) if view else [] for view in (self.there, self.wanted))
        return list(difflib.unified_diff(there, wanted, "database", f"{self.view.name}.sql", lineterm=""))


def plan(connection: psycopg.Connection) -> list[Planned]:
    """Every view of the files, in order of dependency. Needs a transaction; leaves no trace in it.

    Raises:
        Stopped: a table lacks a column that a view reads, since its sink has not run with the present contract yet.
    """
    there = {view.name: view for view in all_views(connection)}
    missing = _missing(connection)
    wanted = _drafted(connection, [view for name, view in mart_views().items() if not missing[name]])
    return [
        Planned(view, there.get(view.qualified), wanted.get(view.qualified), missing[name])
        for name, view in mart_views().items()
    ]


def _missing(connection: psycopg.Connection) -> dict[str, tuple[str, ...]]:
    """Per view the tables that are not there, its own and those of the views that it reads."""
    found: dict[str, tuple[str, ...]] = {}
    for name, view in mart_views().items():
        own = [table for table in view.tables if connection.execute(EXISTS, (table,)).fetchone() != (True,)]
        found[name] = tuple(sorted({*own, *(table for other in view.views for table in found[other])}))
    return found


def _drafted(connection: psycopg.Connection, views: list[MartView]) -> dict[str, StoredView]:
    with connection.transaction(force_rollback=True):
        connection.execute(f"CREATE SCHEMA {DRAFT}".encode())
        for view in views:
            _draft(connection, view)
        drafts = all_views(connection, DRAFT)
    return {view.name: view for view in map(_as_if_in_place, drafts)}


def _draft(connection: psycopg.Connection, view: MartView) -> None:
    try:
        connection.execute(view.sql.replace(f"{SCHEMA}.", f"{DRAFT}.").encode())
    except UndefinedColumn as error:
        raise Stopped(
            f"postgres {view.qualified}: {reason(error)}",
            hint="let the sink bring its tables to their contracts: `olist sink run postgres`",
        ) from error


def _as_if_in_place(draft: StoredView) -> StoredView:
    def named(text: str) -> str:
        return text.replace(f"{DRAFT}.", f"{SCHEMA}.")

    comments = tuple(map(named, draft.comments))
    return replace(draft, name=named(draft.name), definition=named(draft.definition), comments=comments)


def _text(view: StoredView) -> list[str]:
    return [*view.columns, *view.definition.splitlines(), *view.comments]
