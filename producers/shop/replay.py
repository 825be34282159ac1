"""Replay a data set into the shop's database: what is not there yet, in order, at a pace, riding out restarts.

The guarantee: however a run or PostgreSQL ends, kill -9 included, the shop holds a prefix of the sequence in whole
transactions, each exactly once; the next run goes on after it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import psycopg

from olist.clients.shop import connect
from olist.errors import ServerTrouble, Stopped
from olist.settings import Settings
from olist.source import Dataset
from olist.tables import ORDER_REVIEWS, TABLES
from producers.progress import Progress
from producers.rate import Pace
from producers.row_histories import EVENT_US
from producers.sequence import SEQ, VERSION, sequence
from producers.shop.documents import Documents, documents
from producers.shop.migrate import migrate
from producers.shop.transactions import (
    Transaction,
    delete_all,
    first_transactions,
    insert,
    slices,
    transactions,
    update,
)
from producers.shop.writer import Done, Writer

CHUNK = 10_000  # changes made ready, and in flight, at a time
STALL_S = 120.0
AGAIN_AFTER_S = 0.5
LONGEST_WAIT_S = 0.1
WAY_OUT = (
    "`olist replay --to postgres --from-start` deletes the shop's rows first, or set OLIST_SHOP to another database"
)


@dataclass(frozen=True)
class Plan:
    """What is to be written, and how many changes the shop holds already."""

    dataset: Dataset
    changes: pl.DataFrame
    done: int


def name_of(dataset: Dataset) -> str:
    """The data set and the version of its sequence, as the shop remembers them."""
    return f"{dataset.fingerprint}.{VERSION}"


def empty(settings: Settings) -> None:
    """Delete every row of the shop, children first. Capture sees each one go."""
    migrate(settings)
    with connect(settings) as connection:
        Writer(connection).forget(delete_all(contract) for contract in reversed(TABLES.values()))


def make_plan(dataset: Dataset, settings: Settings, limit: int | None) -> Plan:
    """Bring the schema up to date and compare the data set's sequence with the shop's progress.

    Raises:
        Stopped: the shop holds another data set.
        ServerTrouble, BadInput: the database cannot be reached.
    """
    migrate(settings)
    with connect(settings) as connection:
        done = Writer(connection).begin(name_of(dataset))
    if done.fingerprint != name_of(dataset):
        raise Stopped(
            f"the shop holds another data set: {done.fingerprint}, this one is {name_of(dataset)}", hint=WAY_OUT
        )
    to_do = sequence(dataset.frames).filter(pl.col(SEQ) > done.seq)
    return Plan(dataset, to_do if limit is None else first_transactions(to_do, limit), done.seq)


@dataclass
class Run:
    """Writes a plan's changes. After `go`, `sent` of them are committed."""

    settings: Settings
    plan: Plan
    pace: Pace
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    reviews: Documents | None = None  # where reviews go instead of their table
    sent: int = 0
    _trouble_since: float | None = None

    def go(self) -> None:
        """Write until all is written or `progress.stopped_by` is set.

        Raises:
            ServerTrouble: PostgreSQL took nothing for `STALL_S`, though something was due.
            Stopped: it refused a change, or came back with less than it held when the plan was made.
        """
        started = self.clock()
        while self.sent < self.plan.changes.height and self.progress.stopped_by is None:
            try:
                with connect(self.settings) as connection:
                    self._go_on(Writer(connection), started)
            except (psycopg.OperationalError, ServerTrouble) as error:
                self._wait_or_give_up(error)

    def _go_on(self, writer: Writer, started: float) -> None:
        """From where the shop stands, until the end, a stop or a broken connection."""
        seq = self._held(writer.done())
        rest = self.plan.changes.filter(pl.col(SEQ) > seq)
        self.sent = self.plan.changes.height - rest.height
        for chunk in slices(rest, CHUNK):
            ready = transactions(self.plan.dataset.frames, chunk, seq)
            seq = ready[-1].after
            self._write_as_due(writer, ready, started)
            if self.progress.stopped_by is not None:
                return

    def _held(self, done: Done | None) -> int:
        """The number of the last change in the shop, unless the plan lacks some that come after it."""
        name = name_of(self.plan.dataset)
        if done is not None and done.fingerprint == name and done.seq >= self.plan.done:
            return done.seq
        found = "no progress" if done is None else f"change {done.seq} of {done.fingerprint or 'no data set'}"
        raise Stopped(
            f"the shop went back: it held change {self.plan.done} of {name} when this run began, now {found}",
            hint="the same command again goes on from what the shop holds, unless another replay is under way",
        )

    def _write(self, writer: Writer, due: list[Transaction]) -> None:
        """Documents first: the progress in the shop must never be ahead of them."""
        name = name_of(self.plan.dataset)
        if self.reviews is None:
            return writer.write(name, due)
        seq = pl.col(SEQ)
        changes = self.plan.changes.filter(seq > due[0].before, seq <= due[-1].after)
        if found := documents(self.plan.dataset.frames, changes, ORDER_REVIEWS):
            self.reviews.write(found)
        elsewhere = {insert(ORDER_REVIEWS), update(ORDER_REVIEWS)}
        kept = (replace(t, statements=[s for s in t.statements if s[0] not in elsewhere]) for t in due)
        return writer.write(name, kept)

    def _write_as_due(self, writer: Writer, ready: list[Transaction], started: float) -> None:
        event_us = self.plan.changes[EVENT_US].to_numpy()
        ends = np.array([transaction.after for transaction in ready]) - self.plan.done
        at = 0
        while at < len(ready) and self.progress.stopped_by is None:
            elapsed = self.clock() - started
            due = int(np.searchsorted(ends, self.pace.due(event_us, elapsed), side="right"))
            if due > at:
                self._write(writer, ready[at:due])
                self._report(int(ends[due - 1]), int(event_us[ends[due - 1] - 1]))
                at = due
            else:
                self._trouble_since, self.progress.trouble = None, ""  # all that was due is written
                in_s = self.pace.due_at_s(event_us, int(ends[at]) - 1) - elapsed
                time.sleep(min(LONGEST_WAIT_S, max(0.0, in_s)))

    def _report(self, sent: int, event_us: int) -> None:
        self.sent = self.progress.acknowledged = sent
        self.progress.event_us, self.progress.trouble = event_us, ""
        self._trouble_since = None

    def _wait_or_give_up(self, error: psycopg.OperationalError | ServerTrouble) -> None:
        now = self.clock()
        self._trouble_since = now if self._trouble_since is None else self._trouble_since
        if now - self._trouble_since > STALL_S:
            raise ServerTrouble(
                "shop", f"nothing was written for {STALL_S:g} s: {error}", hint="`olist status`; then the same command"
            ) from error
        self.progress.trouble = str(error).strip().splitlines()[0]
        time.sleep(AGAIN_AFTER_S)
