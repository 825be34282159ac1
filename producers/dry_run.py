"""What a replay would send, without Kafka."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import polars as pl
from rich.table import Table

from olist.contracts import Contract
from olist.source import Dataset
from producers.display import event_time
from producers.life import EVENT_US, PREVIOUS_STAGE
from producers.sequence import TABLE, TABLE_NAMES, sequence


@dataclass(frozen=True)
class Counts:
    """Changes of one table."""

    creates: int
    updates: int


@dataclass(frozen=True)
class DryRun:
    """What a replay onto empty topics would send, and the event times it spans."""

    changes: int
    first: str | None
    last: str | None
    tables: dict[str, Counts]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)

    def as_table(self) -> Table:
        """For people."""
        shown = Table("table", box=None, caption=f"{self.first} to {self.last}", caption_justify="left")
        for title in ("creates", "updates", "changes"):
            shown.add_column(title, justify="right")
        for name, count in self.tables.items():
            shown.add_row(name, f"{count.creates:,}", f"{count.updates:,}", f"{count.creates + count.updates:,}")
        shown.add_row("all", "", "", f"{self.changes:,}")
        return shown


def dry_run_of(dataset: Dataset, tables: tuple[Contract, ...], limit: int | None) -> DryRun:
    """Count without sending."""
    chosen = [TABLE_NAMES.index(contract.table) for contract in tables]
    changes = sequence(dataset.frames).filter(pl.col(TABLE).is_in(chosen))
    changes = changes if limit is None else changes.head(limit)
    is_update = pl.col(PREVIOUS_STAGE).is_not_null()
    by_table = changes.group_by(TABLE).agg((~is_update).sum().alias("creates"), is_update.sum().alias("updates"))
    times = changes[EVENT_US]
    return DryRun(
        changes.height,
        event_time(times[0]) if changes.height else None,
        event_time(times[-1]) if changes.height else None,
        {TABLE_NAMES[index]: Counts(creates, updates) for index, creates, updates in by_table.sort(TABLE).iter_rows()},
    )
