"""Positions in the warehouse: one row per table and partition, moved in the transaction that moves the rows.

One row per partition lets two processes that own different partitions commit the same table side by side. Each keeps
witnesses of the rows that it speaks of: see `sinks.postgres.witnesses`.
"""

from __future__ import annotations

import psycopg

from olist.errors import Fenced
from olist.positions import Positions
from sinks.postgres.ddl import SCHEMA

TABLE = f"{SCHEMA}.sink_positions"

CREATE = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE {TABLE} (
  table_name text NOT NULL,
  topic text NOT NULL,
  topic_id text NOT NULL,
  partition integer NOT NULL,
  next_offset bigint NOT NULL,
  witness jsonb,
  PRIMARY KEY (table_name, partition)
)
""".encode()
EXISTS = b"SELECT to_regclass(%s) IS NOT NULL"
COLUMNS = b"SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
ADD_WITNESS = f"ALTER TABLE {TABLE} ADD COLUMN witness jsonb".encode()  # one of an older version has none
READ = f"SELECT topic, topic_id, partition, next_offset FROM {TABLE} WHERE table_name = %s".encode()
LOCK = READ + b" AND partition = ANY(%s) ORDER BY partition FOR UPDATE"
START = f"""
INSERT INTO {TABLE} (table_name, topic, topic_id, partition, next_offset)
SELECT %s, %s, %s, unnest(%s::integer[]), 0 ON CONFLICT (table_name, partition) DO NOTHING
""".encode()
MOVE = f"""
UPDATE {TABLE} p SET next_offset = v.next_offset, witness = jsonb_strip_nulls(jsonb_build_object(
  'next', v.next_offset,
  'present', coalesce(v.present::jsonb, p.witness->'present'),
  'absent', coalesce(v.absent::jsonb, p.witness->'absent')))
FROM unnest(%s::integer[], %s::bigint[], %s::text[], %s::text[]) AS v(partition, next_offset, present, absent)
WHERE p.table_name = %s AND p.partition = v.partition
""".encode()
FORGET = f"DELETE FROM {TABLE} WHERE table_name = %s".encode()

Rows = list[tuple[str, str, int, int]]


def create_table(connection: psycopg.Connection) -> None:
    """Make the schema and the table of positions where they are missing, and what an older version's lacks.

    Looked for first: IF NOT EXISTS asks for the privilege to create even when there is nothing to create.
    """
    columns = {name for (name,) in connection.execute(COLUMNS, (TABLE,)).fetchall()}
    if not columns:
        connection.execute(CREATE)
    elif "witness" not in columns:
        connection.execute(ADD_WITNESS)


def read(connection: psycopg.Connection, table: str) -> Positions | None:
    """The table's positions, or None when it has none."""
    return _positions(connection.execute(READ, (table,)).fetchall())


def lock(connection: psycopg.Connection, table: str, partitions: list[int], held: Positions) -> None:
    """Take the partitions' rows until the transaction ends, and compare them with what this process started from.

    The first commit of a table makes the rows of all partitions; of two first commits at once, one waits here.

    Raises:
        Fenced: they have moved, or hold another topic.
    """
    found: Rows = connection.execute(LOCK, (table, partitions)).fetchall()
    if len(found) < len(partitions):
        connection.execute(START, (table, held.topic, held.topic_id, sorted(held.next)))
        found = connection.execute(LOCK, (table, partitions)).fetchall()
    there = _positions(found) or held
    if there.topic_id != held.topic_id:
        raise Fenced(
            f"postgres {table}: another process has rebuilt it from topic id {there.topic_id}; "
            f"this one read {held.topic_id}; nothing was written",
            hint="restart this process",
        )
    there.expect(f"postgres {table}", held.of(partitions))


def move(connection: psycopg.Connection, table: str, to: dict[int, int], witnesses: dict[int, dict[str, str]]) -> None:
    """Set the partitions' next offsets and witnesses; a witness that the batch has none for stays."""
    present, absent = ([witnesses.get(p, {}).get(kind) for p in to] for kind in ("present", "absent"))
    connection.execute(MOVE, (list(to), list(to.values()), present, absent, table))


def _positions(rows: Rows) -> Positions | None:
    if not rows:
        return None
    topic, topic_id, *_ = rows[0]
    return Positions(topic, topic_id, {partition: offset for _, _, partition, offset in sorted(rows)})
