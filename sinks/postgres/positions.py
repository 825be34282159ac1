"""Positions in the warehouse, and witnesses: rows that must be there if the positions speak of the table as it is.

Positions are one row per table and partition, moved in the transaction that moves the rows, so that two processes that
own different partitions commit the same table side by side.

Positions and rows move in one transaction, but people move one without the other: TRUNCATE, a table dropped and made
again, a restore of one table from an older dump. No mark of the table tells: its oid survives TRUNCATE, its file number
changes with VACUUM FULL, a restore of the whole database changes both although nothing is lost, and an older dump
brings an older state under every name and comment that it had. The rows themselves tell. So each position keeps,
written in the transaction that moved it, the last two changes of its partition that took effect, as witnesses:

- ``present``: the row last written; it must be there, with this offset or a later one;
- ``absent``: the row last deleted; it must not be there with an earlier offset.

What moves a table as a whole (VACUUM FULL, CLUSTER, ALTER TABLE, a restore of everything) moves them too, and all is
well. What does not leaves one of them wrong: an emptied table lacks the present ones, an older state has the last
change of each partition undone. They are looked up by primary key when the table is opened and in every commit, after
the positions are locked, so rows that went a moment ago are noticed before more are written.

Not seen: rows that were changed by hand beside the witnesses. `olist check` compares them all.

A witness counts for the very position it was written with (``next``); an older version of the sink moves positions and
leaves it behind. Positions without a witness get one from the table's rows when it is opened.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl
import psycopg

from olist.batches import OFFSET, OP, PARTITION
from olist.contracts import Contract
from olist.positions import Positions
from sinks.column_json import json_value
from sinks.postgres.schema import SCHEMA, literal, quoted, sql_type, table_name

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

# Locked, so that no other process moves them while they are given a witness.
UNKNOWN = f"""
SELECT partition FROM {TABLE} WHERE table_name = %s AND next_offset > 0
AND (witness->>'next')::bigint IS DISTINCT FROM next_offset ORDER BY partition FOR UPDATE
""".encode()

DELETED = "_deleted"

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


def lock(connection: psycopg.Connection, table: str, partitions: list[int], expected: Positions) -> None:
    """Take the partitions' rows until the transaction ends, and compare them with what this process started from.

    The first commit of a table makes the rows of all partitions; of two first commits at once, one waits here.

    Raises:
        Fenced: they have moved, or hold another topic.
    """
    found: Rows = connection.execute(LOCK, (table, partitions)).fetchall()
    if len(found) < len(partitions):
        connection.execute(START, (table, expected.topic, expected.topic_id, sorted(expected.next)))
        found = connection.execute(LOCK, (table, partitions)).fetchall()
    there = _positions(found) or expected
    there.expect_topic(f"postgres {table}", expected)
    there.expect(f"postgres {table}", expected.of(partitions))


def move(connection: psycopg.Connection, table: str, to: dict[int, int], witnesses: dict[int, dict[str, str]]) -> None:
    """Set the partitions' next offsets and witnesses; a witness that the batch has none for stays."""
    present, absent = ([witnesses.get(p, {}).get(kind) for p in to] for kind in ("present", "absent"))
    connection.execute(MOVE, (list(to), list(to.values()), present, absent, table))


def _positions(rows: Rows) -> Positions | None:
    if not rows:
        return None
    topic, topic_id, *_ = rows[0]
    return Positions(topic, topic_id, {partition: offset for _, _, partition, offset in sorted(rows)})


class Broken(NamedTuple):
    """A witness that the table's rows contradict."""

    partition: int
    row: str  # key and offset, as JSON
    present: bool

    def __str__(self) -> str:
        state = "is not there" if self.present else "is there again, although it was deleted"
        return f"the row {self.row} of partition {self.partition} {state}"


class Witnesses:
    """One contract's witnesses: found in a batch, and looked up in the table."""

    def __init__(self, contract: Contract) -> None:
        self._values = [json_value(column) for column in contract.key_columns]
        table, offset = table_name(contract), quoted(OFFSET)
        record = ", ".join(f"{quoted(c.name)} {sql_type(c.type)}" for c in contract.key_columns)
        same = " AND ".join(f"t.{quoted(name)} = w.{quoted(name)}" for name in contract.key)
        self._broken = _broken(table, f"{record}, {offset} bigint", same).encode()
        self._emptied = f"""
UPDATE {TABLE} p SET witness = p.witness - 'present'
WHERE p.table_name = %s AND p.partition = ANY(%s) AND p.witness ? 'present' AND NOT EXISTS (
  SELECT FROM jsonb_to_record(p.witness->'present') AS w({record}) JOIN {table} t ON {same})
""".encode()
        pairs = ", ".join(f"{literal(name)}, t.{quoted(name)}" for name in (*contract.key, OFFSET))
        self._adopt = _adopt(table, pairs).encode()
        self._is_empty = f"SELECT NOT EXISTS (SELECT FROM {table})".encode()

    def last_changes(self, rows: pl.DataFrame) -> dict[int, dict[str, str]]:
        """By partition the last row written (``present``) and the last one deleted (``absent``) of a batch, as JSON.

        `rows` are the last changes of their keys.
        """
        kind = (pl.col(OP) == "d").alias(DELETED)
        last = rows.filter(pl.col(OFFSET) == pl.col(OFFSET).max().over(PARTITION, kind))
        text = pl.struct(*self._values, pl.col(OFFSET)).struct.json_encode().alias("row")
        found: dict[int, dict[str, str]] = {}
        for partition, deleted, row in last.select(PARTITION, kind, text).iter_rows():
            found.setdefault(partition, {})["absent" if deleted else "present"] = row
        return found

    def broken(self, connection: psycopg.Connection, table: str) -> list[Broken]:
        """The witnesses of all partitions that the rows contradict, in one snapshot of both."""
        return [Broken(*row) for row in connection.execute(self._broken, (table,)).fetchall()]

    def forget_deleted(self, connection: psycopg.Connection, table: str, partitions: list[int]) -> None:
        """Drop the present witnesses that this transaction has deleted, and for which its batch had no other."""
        connection.execute(self._emptied, (table, partitions))

    def adopt(self, connection: psycopg.Connection, table: str) -> bool:
        """Give positions that have none a witness from the rows there; whether any had none."""
        unknown = connection.execute(UNKNOWN, (table,)).fetchall()
        if unknown:
            connection.execute(self._adopt, ([partition for (partition,) in unknown], table))
        return bool(unknown)

    def is_empty(self, connection: psycopg.Connection) -> bool:
        """Whether the table has no row at all."""
        return connection.execute(self._is_empty).fetchone() == (True,)


def _broken(table: str, record: str, same: str) -> str:
    """Each witness is looked up by itself, so that the primary key is used and the table never scanned."""
    offset = quoted(OFFSET)
    return f"""
SELECT p.partition, e.doc::text, e.present
FROM {TABLE} p
CROSS JOIN LATERAL (VALUES (p.witness->'present', true), (p.witness->'absent', false)) AS e(doc, present)
CROSS JOIN LATERAL jsonb_to_record(e.doc) AS w({record})
LEFT JOIN LATERAL (SELECT t.{offset} AS there FROM {table} t WHERE {same} OFFSET 0) r ON true
WHERE p.table_name = %s AND (p.witness->>'next')::bigint = p.next_offset
  AND CASE WHEN e.present THEN coalesce(r.there, -1) < w.{offset} ELSE r.there < w.{offset} END
ORDER BY p.partition, e.present DESC
"""


def _adopt(table: str, pairs: str) -> str:
    """The row with the highest offset of each partition: one pass over the table for the offset, one for the row."""
    partition, offset = quoted(PARTITION), quoted(OFFSET)
    return f"""
UPDATE {TABLE} p
SET witness = jsonb_strip_nulls(jsonb_build_object('next', p.next_offset, 'present', found.row))
FROM unnest(%s::integer[]) AS q(partition) LEFT JOIN (
  SELECT m.partition, jsonb_build_object({pairs}) AS row
  FROM (SELECT {partition} AS partition, max({offset}) AS last FROM {table} GROUP BY 1) m
  JOIN {table} t ON t.{partition} = m.partition AND t.{offset} = m.last
) found ON found.partition = q.partition
WHERE p.table_name = %s AND p.partition = q.partition
"""


def described(broken: list[Broken]) -> str:
    """The first few."""
    more = f", and {len(broken) - 3} more" if len(broken) > 3 else ""
    return "; ".join(map(str, broken[:3])) + more
