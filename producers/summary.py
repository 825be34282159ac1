"""What a replay did, or would do, for people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import polars as pl
from rich.table import Table

from olist.contracts import Contract
from olist.source import Dataset
from producers.progress import event_time
from producers.row_histories import EVENT_US, PREVIOUS_STAGE
from producers.sequence import TABLE, TABLE_NAMES, sequence


@dataclass(frozen=True)
class Summary:
    """One run: what was there before it, what it sent, what it left; `stopped_by` is a signal's number."""

    on_topics_before: int
    sent: int
    left: int
    seconds: float
    cpu_s: float
    event_time: str | None
    stopped_by: int | None
    where: str = "on the topics"

    def as_json(self) -> dict[str, object]:
        """Every field, and the two figures that follow from them."""
        return {
            **{name: value for name, value in asdict(self).items() if name != "where"},
            "changes_per_s": round(self.sent / self.seconds) if self.sent else None,
            "cpu_us_per_change": round(self.cpu_s / self.sent * 1e6, 2) if self.sent else None,
        }

    def as_text(self) -> str:
        """One or two sentences."""
        if not self.sent and not self.left:
            return f"nothing to do: all {self.on_topics_before:,} changes are {self.where} already"
        told = f"{self.sent:,} changes in {self.seconds:.1f} s"
        if self.sent:
            speed = f"{self.sent / self.seconds:,.0f} changes/s, {self.cpu_s / self.sent * 1e6:.1f} us of CPU each"
            told += f" ({speed}), up to {self.event_time} in the data"
        if self.on_topics_before:
            told += f"; {self.on_topics_before:,} were {self.where} already"
        if self.left:
            told += f"\nstopped with {self.left:,} left: the same command goes on where this one stopped"
        return told


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
