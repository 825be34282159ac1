"""The marts' views as the database holds them: looked at, taken down, put back to the letter.

PostgreSQL refuses to change a column's type, and to drop a table, while a view reads it. The views of the schema
``mart`` therefore make way: they are taken down and put back in the transaction that changes the table, with what
stands on them, their options, comments, owners and grants. Views of other schemas are their owners': those stop the
change, named by the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

SCHEMA = "mart"

# The deepest path to a view says its place: whatever it reads comes before it.
OVER = b"""
WITH RECURSIVE over(oid, depth) AS (
  SELECT to_regclass(name)::oid, 0 FROM unnest(%(names)s::text[]) AS name
  UNION
  SELECT r.ev_class, over.depth + 1
  FROM over
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = over.oid
  JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND r.ev_class <> over.oid
)
SELECT c.oid FROM over JOIN pg_class c ON c.oid = over.oid
WHERE c.relkind = 'v' AND c.relnamespace = to_regnamespace(%(schema)s)
GROUP BY c.oid, c.relname ORDER BY max(over.depth), c.relname
"""
NAMED = b"""
SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'v' ORDER BY c.relname
"""
VIEW = b"""
SELECT
  format('%%I.%%I', n.nspname, c.relname),
  pg_get_viewdef(c.oid),
  coalesce(array_to_string(c.reloptions, ', '), ''),
  ARRAY(
    SELECT format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod))
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum
  )
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %s
"""
COMMENTS = b"""
SELECT CASE d.objsubid
  WHEN 0 THEN format('COMMENT ON VIEW %%s IS %%L', %(view)s::text, d.description)
  ELSE format('COMMENT ON COLUMN %%s.%%I IS %%L', %(view)s::text, a.attname, d.description)
END
FROM pg_description d LEFT JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
WHERE d.classoid = 'pg_class'::regclass AND d.objoid = %(oid)s ORDER BY d.objsubid
"""
# What its owner has on it by being the owner comes back with the view. The owner last: a grant needs what is left then.
RIGHTS = b"""
SELECT statement FROM (
  SELECT 0 AS place, format(
    'GRANT %%s%%s ON %%s TO %%s%%s', g.privilege_type, held.of_column, %(view)s::text,
    CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
    CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
  ) AS statement
  FROM pg_class c
  CROSS JOIN LATERAL (
    SELECT c.relacl AS acl, '' AS of_column
    UNION ALL
    SELECT a.attacl, format(' (%%I)', a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid
  ) held
  CROSS JOIN LATERAL aclexplode(held.acl) g
  WHERE c.oid = %(oid)s AND g.grantee <> c.relowner
  UNION ALL
  SELECT 1, format('ALTER VIEW %%s OWNER TO %%I', %(view)s::text, pg_get_userbyid(c.relowner))
  FROM pg_class c WHERE c.oid = %(oid)s AND pg_get_userbyid(c.relowner) <> current_user
) s ORDER BY place, statement
"""


@dataclass(frozen=True)
class StoredView:
    """One view of the database; `name` is qualified, `columns` are names with types, the rest are statements."""

    name: str
    definition: str
    options: str
    columns: tuple[str, ...]
    comments: tuple[str, ...]
    rights: tuple[str, ...]

    @property
    def create(self) -> str:
        """The statement that makes it."""
        return f"CREATE VIEW {self.name}{f' WITH ({self.options})' if self.options else ''} AS {self.definition}"


def views_over(connection: psycopg.Connection, names: Sequence[str], schema: str = SCHEMA) -> list[StoredView]:
    """The schema's views that read any of these relations, directly or through others, or are named themselves.

    Each comes after those that it reads. Names are qualified and quoted; one that is not there has no views.
    """
    found = connection.execute(OVER, {"names": list(names), "schema": schema}).fetchall()
    return [_stored(connection, oid) for (oid,) in found]


def all_views(connection: psycopg.Connection, schema: str = SCHEMA) -> list[StoredView]:
    """Every view of the schema, each after those that it reads."""
    return views_over(connection, [name for (name,) in connection.execute(NAMED, (schema,))], schema)


def take_down(connection: psycopg.Connection, views: Sequence[StoredView]) -> None:
    """Drop views that came in the order of `views_over`."""
    for view in reversed(views):
        connection.execute(f"DROP VIEW {view.name}".encode())


def put_back(connection: psycopg.Connection, view: StoredView) -> None:
    """Make a view again as it was."""
    for statement in (view.create, *view.comments, *view.rights):
        connection.execute(statement.encode())


@contextmanager
def set_aside(connection: psycopg.Connection, table: str) -> Iterator[None]:
    """Within the caller's transaction: the marts' views over a table are not there, and afterwards they are again."""
    views = views_over(connection, [table])
    take_down(connection, views)
    yield
    for view in views:
        put_back(connection, view)


def _stored(connection: psycopg.Connection, oid: int) -> StoredView:
    name, definition, options, columns = connection.execute(VIEW, (oid,)).fetchall()[0]
    about = {"oid": oid, "view": name}
    comments, rights = (tuple(s for (s,) in connection.execute(query, about)) for query in (COMMENTS, RIGHTS))
    return StoredView(name, definition, options, tuple(columns), comments, rights)
