"""All lake tables, one after the other, again and again until asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import TypeVar

import structlog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from compaction.job import Environment, Job
from compaction.lease import Lease, LeaseHolder, Renewal, lease_holder
from compaction.report import Report
from olist.contracts import Contract
from olist.errors import OlistError, ServerTrouble, Stopped
from olist.telemetry import COMPACTION_FAILING

T = TypeVar("T")
log = structlog.get_logger()

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0


def jobs_of(env: Environment, contracts: Sequence[Contract]) -> list[Job]:
    """A job per lake table: current rows, and the history of contracts that keep one."""
    return [
        Job(env, contract, history=history)
        for contract in contracts
        for history in ([False, True] if contract.history else [False])
    ]


@dataclass(frozen=True)
class Busy:
    """A table that another compactor works on, and until when nobody else will."""

    table: str
    holder: LeaseHolder

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.holder.until_ms / 1000, UTC)
        return f"{self.table}: another compactor ({self.holder.owner}) has it until {until:%H:%M:%S} UTC"


def log_busy(busy: Busy) -> None:
    """Say so in the log."""
    log.info(
        "another compactor has this table", table=busy.table, owner=busy.holder.owner, until_ms=busy.holder.until_ms
    )


def run_once(jobs: Sequence[Job], lease: Lease, busy: Callable[[Busy], object] = log_busy) -> Iterator[Report]:
    """Compact each table that is worth it; a report for each; `busy` gets those that another compacts.

    What stops one table does not keep the others waiting: see `TableErrors`.

    Raises:
        Stopped: a table's positions do not add up, a file that it names is gone, or another engine has made of it what
            compaction does not handle; before any `ServerTrouble`.
        ServerTrouble: catalog or storage is away, or a table's writers left no room for a commit.
    """
    errors = TableErrors()
    for job in jobs:
        if job.env.stopping():
            break
        report = None
        with errors.of(job.name):
            try:
                report = _run(job, lease, busy)
            finally:
                job.release()
        if report is not None:
            yield report
    errors.raise_first()


@dataclass
class TableErrors:
    """What went wrong, table by table: each is logged in one line, and the first raised when all had their turn."""

    event: str = "not compacted"
    found: list[OlistError] = field(default_factory=list)

    @contextmanager
    def of(self, table: str) -> Iterator[None]:
        """Keep whatever the block raises away from the other tables."""
        try:
            yield
        except OlistError as error:
            log.error(self.event, table=table, reason=str(error), way_out=error.hint)
            self.found.append(error)
        except Exception as error:  # a fault in one table's files must not end the others' compaction
            reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
            log.error(self.event, table=table, reason=reason)
            log.debug("the trace of it", table=table, exc_info=error)
            self.found.append(Stopped(f"lake table {table}: {reason}", hint="OLIST_LOG_LEVEL=debug logs its trace"))
        else:
            COMPACTION_FAILING.labels(table).set(0)
            return
        COMPACTION_FAILING.labels(table).set(1)

    def raise_first(self) -> None:
        """Raise the first permanent error, else the first transient one; nothing where there was none.

        Raises:
            OlistError: one of `found`.
        """
        for error in sorted(self.found, key=lambda error: isinstance(error, ServerTrouble)):
            raise error


def _run(job: Job, lease: Lease, busy: Callable[[Busy], object]) -> Report | None:
    """One table: its report, or None where there is nothing to do or another does it."""
    table = job.load()
    if table is None:
        return None
    try:
        if not job.is_due(table):
            return None
        if lease.acquire(table, job.env.now_ms()):
            return _run_leased(job, lease, table)
        _report_busy(job, busy)
    except (NoSuchTableError, FileNotFoundError) as error:
        if not job.is_stale(table):
            raise Stopped(
                f"lake table {job.name}: a file that it names is gone: {error}",
                hint="`olist sink rebuild iceberg` reads the topic again",
            ) from error
        log.info("dropped or expired while it was compacted", table=job.name, seen=str(error))
    return None


def _run_leased(job: Job, lease: Lease, table: Table) -> Report:
    try:
        return job.run(table, Renewal(lease, table.name(), job.env.now_ms))
    finally:
        try:
            lease.release(table)
        except (ServerTrouble, NoSuchTableError) as error:  # it runs out by itself
            log.info("lease not given back", table=job.name, reason=str(error))


def _report_busy(job: Job, busy: Callable[[Busy], object]) -> None:
    table = job.load()
    if table is not None and (lease := lease_holder(table)) is not None:
        busy(Busy(job.name, lease))


def run_every(
    jobs: Sequence[Job], lease: Lease, every_s: float, stopping: Event, publish: Callable[[list[Report]], object]
) -> None:
    """`run_once`, every so many seconds, until `stopping` is set. Trouble with a server is waited out."""
    while not stopping.is_set():
        try:
            for report in run_once(jobs, lease):
                publish([report])
        except Stopped:
            log.error("going on with the other tables", pause_s=every_s)
        except ServerTrouble as trouble:
            log.warning("waiting", server=trouble.server, reason=trouble.reason, pause_s=every_s)
        stopping.wait(every_s)


def wait_for(open_: Callable[[], T], limit_s: float, stopping: Event, clock: Callable[[], float]) -> T:
    """What `open_` opens, tried again while a server is away, for `limit_s` seconds.

    Raises:
        ServerTrouble: the last one, when the time is up or the process is asked to stop.
    """
    deadline, pause_s = clock() + limit_s, FIRST_PAUSE_S
    while True:
        try:
            return open_()
        except ServerTrouble as trouble:
            if clock() + pause_s > deadline:
                raise
            log.warning("waiting", server=trouble.server, reason=trouble.reason, pause_s=pause_s)
            if stopping.wait(pause_s):
                raise
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
