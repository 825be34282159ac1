"""Bring the views to what their files say, or remove them: one transaction, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import psycopg

from olist.settings import Settings
from sinks.postgres.connection import connect, transaction
from sinks.postgres.mart_views import SCHEMA, StoredView, all_views, put_back, take_down, views_over
from sinks.postgres.marts.catalogue import mart_views
from sinks.postgres.marts.plan import Planned, plan
from sinks.postgres.schema import ALONE

Done = Literal["created", "replaced", "unchanged", "skipped"]
DONE: dict[str, Done] = {"new": "created", "changed": "replaced", "unchanged": "unchanged", "waiting": "skipped"}

THERE = b"SELECT to_regnamespace(%s) IS NOT NULL"


def planned(settings: Settings) -> list[Planned]:
    """What `apply` would do.

    Raises:
        ServerTrouble: the server does not answer.
        Stopped: it refuses a view, with its reason.
    """
    with connect(settings.postgres_url) as connection, transaction(connection, force_rollback=True):
        connection.execute(ALONE)
        return plan(connection)


def apply(settings: Settings) -> list[Planned]:
    """Make what is new, replace what has changed, and leave the rest alone; what was done is each one's state.

    A view that is replaced keeps its grants, and so do the views that stand on it, which are put back as they were. A
    view whose tables are not there yet is left out.

    Raises:
        ServerTrouble: the server does not answer, or somebody reads a view for so long that it cannot be replaced.
        Stopped: it refuses, with its reason: a privilege, or a view of another schema that reads one of these.
    """
    with connect(settings.postgres_url) as connection, transaction(connection):
        connection.execute(ALONE)
        # Looked for first: IF NOT EXISTS asks for the privilege to create even when there is nothing to create.
        if connection.execute(THERE, (SCHEMA,)).fetchone() != (True,):
            connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
        found = plan(connection)
        _bring(connection, found)
        return found


def drop(settings: Settings, *, dry_run: bool) -> list[str]:
    """Remove the files' views that are there; their names. The schema stays, with the grants on it.

    Raises:
        ServerTrouble: the server does not answer.
        Stopped: another view reads one of them; nothing was removed.
    """
    with connect(settings.postgres_url) as connection, transaction(connection):
        connection.execute(ALONE)
        ours = {view.qualified for view in mart_views().values()}
        views = [view for view in all_views(connection) if view.name in ours]
        if not dry_run:
            take_down(connection, views)
        return [view.name for view in views]


def _bring(connection: psycopg.Connection, found: Sequence[Planned]) -> None:
    changed = [one.view.qualified for one in found if one.state == "changed"]
    aside = {view.name: view for view in views_over(connection, changed)}
    take_down(connection, list(aside.values()))
    for one in found:
        before = aside.pop(one.view.qualified, None)
        if one.state in ("new", "changed"):
            _make(connection, one, before)
        elif before is not None:
            put_back(connection, before)
    for other in aside.values():  # somebody's own views of this schema
        put_back(connection, other)


def _make(connection: psycopg.Connection, one: Planned, before: StoredView | None) -> None:
    connection.execute(one.view.sql.encode())
    for statement in before.rights if before else ():
        connection.execute(statement.encode())
