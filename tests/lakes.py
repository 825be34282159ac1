"""A lake on this machine's disk, without servers: SQLite catalog, folder warehouse, and a table of notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import polars as pl

from compaction.job import Environment, Job
from compaction.report import Report
from compaction.rewrite import Budget
from olist import partitioner
from olist.batches import COMMITTED_AT, OFFSET, OP, PARTITION, frame_schema
from olist.changes import codec
from olist.contracts import Contract, Int, Micros, Month, Portuguese, Price, Row, Str
from olist.lake.catalog import identifier, open_catalog
from olist.lake.live_rows import live_rows
from olist.lake.table import LakeTable
from olist.positions import Positions
from olist.settings import Settings

PARTITIONS = 2
MONTH_US = 31 * 24 * 3600 * 1_000_000
COMMITTED_US = 1_500_000_000_000_001


class Note(Row):
    """A note about something."""

    note_id: Int
    place: Str
    value: Int
    price: Price | None
    seen_at: Micros
    words: Portuguese | None


NOTES = Contract(
    "notes",
    Note,
    key=("note_id", "place"),
    partition_by=Month("seen_at"),
    sort_by=("seen_at", "note_id"),
    history=True,
)
WHOLE_NOTES = Contract("whole_notes", Note, key=("note_id", "place"), sort_by=("value",))

Key = int


def local_settings(home: Path) -> Settings:
    """Settings of a lake under a folder."""
    home.mkdir(parents=True, exist_ok=True)
    return Settings(warehouse=f"file://{home}/warehouse", catalog=f"sqlite:///{home}/catalog.db")


def partition_of(key: Key) -> int:
    """A key stays in its partition, as Kafka's own partitioner has it."""
    return partitioner.partition_of(codec(NOTES).encode_key((key, f"p{key}")), PARTITIONS)


@dataclass
class Changes:
    """Makes the changes of a topic, offset by offset. `latest`: the last row of each key, and where it came from."""

    contract: Contract
    offsets: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    latest: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def frame(self, changes: Iterable[tuple[Key, int | None]]) -> tuple[pl.DataFrame, dict[int, int]]:
        """(key, new value or None to delete) -> a batch's frame, each key once, and the positions after it."""
        rows = [self._row(key, value) for key, value in changes]
        return pl.DataFrame(rows, schema=frame_schema(self.contract), orient="row"), dict(self.offsets)

    def _row(self, key: Key, value: int | None) -> dict[str, Any]:
        partition = partition_of(key)
        offset = self.offsets[partition]
        self.offsets[partition] += 1
        row: dict[str, Any] = dict.fromkeys(frame_schema(self.contract))
        row |= {"note_id": key, "place": f"p{key}", OP: "d", PARTITION: partition, OFFSET: offset}
        row[COMMITTED_AT] = COMMITTED_US + offset
        self.latest.pop(key, None)
        if value is not None:
            row |= {OP: "u", "value": value, "seen_at": key % 3 * MONTH_US + value, "words": f"word {value}"}
            row["price"] = Decimal(value - key).scaleb(-2) if value % 5 else None
            self.latest[key] = row
        return row


@dataclass
class Lake:
    """One table of a local lake: writers, a compactor, and what it should hold."""

    settings: Settings
    contract: Contract = NOTES
    changes: Changes = field(init=False)
    model: dict[Key, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.catalog = open_catalog(self.settings)
        self.changes = Changes(self.contract)

    def writer(self, partitions: Iterable[int] = range(PARTITIONS), *, history: bool = False) -> LakeTable:
        """A sink process's table, opened."""
        table = LakeTable(self.catalog, self.contract, history=history)
        table.open()
        table.assign(frozenset(partitions))
        return table

    def write(self, writer: LakeTable, changes: Iterable[tuple[Key, int | None]]) -> None:
        """Stage and commit changes."""
        held = writer.positions or Positions.start("notes", "id", PARTITIONS)
        frame, to = self.changes.frame(changes)
        moved = {p: end for p, end in to.items() if end > held.next[p]}
        writer.commit(writer.stage(frame), held, moved)
        self.learn(changes)

    def learn(self, changes: Iterable[tuple[Key, int | None]]) -> None:
        """Take changes into the model."""
        for key, value in changes:
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value

    def job(self, *, history: bool = False, now_ms: int | None = None, memory: int = 1 << 28) -> Job:
        """A compactor of the table; `now_ms` sets its clock."""
        env = Environment(self.catalog, self.settings, Budget(memory, Path(gettempdir())))
        if now_ms is not None:
            env = Environment(self.catalog, self.settings, env.budget, now_ms=lambda: now_ms)
        return Job(env, self.contract, history=history)

    def compact(self, job: Job | None = None) -> Report:
        """Run a compactor once."""
        job = job or self.job()
        table = job.load()
        assert table is not None
        return job.run(table)

    def properties(self, **values: str) -> None:
        """Set properties of the table; `_` stands for `-`, and the prefix of ours is added."""
        named = {f"olist.compaction.{name.replace('_', '-')}": value for name, value in values.items()}
        with self.catalog.load_table(identifier(self.contract.table)).transaction() as transaction:
            transaction.set_properties(named)

    def held(self) -> dict[Key, int]:
        """What the table holds: key -> value. A key that is there twice fails."""
        table = self.catalog.load_table(identifier(self.contract.table))
        frames = [rows for _file, rows in live_rows(table, ["note_id", "value"])]
        rows = [row for frame in frames for row in frame.iter_rows(named=True)]
        held = {row["note_id"]: row["value"] for row in rows}
        assert len(held) == len(rows), "a key is there twice"
        return held
