"""All lake tables, one after the other, again and again until asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import structlog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

from compaction.job import Job, Means
from compaction.lease import Held, Lease, Renewal, held
from compaction.report import Report
from olist.contracts import Contract
from olist.errors import ServerTrouble, Stopped

log = structlog.get_logger()


def jobs_of(means: Means, contracts: Sequence[Contract]) -> list[Job]:
    """A job per lake table: current rows, and the history of contracts that keep one."""
    return [
        Job(means, contract, history=history)
        for contract in contracts
        for history in ([False, True] if contract.history else [False])
    ]


@dataclass(frozen=True)
class Busy:
    """A table that another compactor works on, and until when nobody else will."""

    table: str
    held: Held

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.held.until_ms / 1000, UTC)
        return f"{self.table}: another compactor ({self.held.owner}) has it until {until:%H:%M:%S} UTC"


def log_busy(busy: Busy) -> None:
    """Say so in the log."""
    log.info("another compactor has this table", table=busy.table, owner=busy.held.owner, until_ms=busy.held.until_ms)


def run_once(jobs: Sequence[Job], lease: Lease, busy: Callable[[Busy], object] = log_busy) -> Iterator[Report]:
    """Compact each table that is worth it; a report for each, and `busy` is told of those that are another's.

    What stops one table does not keep the others waiting: it is logged, and the first of it raised at the end.

    Raises:
        Stopped: a table's positions do not add up, or a file that it names is gone; before any trouble.
        ServerTrouble: catalog or storage is away, or a table's writers left no room for a commit.
    """
    stopped: list[Stopped] = []
    troubles: list[ServerTrouble] = []
    for job in jobs:
        if job.means.stopping():
            break
        try:
            report = _run(job, lease, busy)
            if report is not None:
                yield report
        except Stopped as error:  # this table needs a person; the others need compaction all the same
            log.error("not compacted", table=job.name, reason=str(error), way_out=error.hint)
            stopped.append(error)
        except ServerTrouble as trouble:
            log.warning("not compacted", table=job.name, server=trouble.server, reason=trouble.reason)
            troubles.append(trouble)
        finally:
            job.release()
    if stopped or troubles:
        raise [*stopped, *troubles][0]


def _run(job: Job, lease: Lease, busy: Callable[[Busy], object]) -> Report | None:
    """One table: its report, or None where there is nothing to do or another does it."""
    table = job.load()
    if table is None:
        return None
    try:
        if not job.is_due(table):
            return None
        if lease.take(table, job.means.now_ms()):
            return _run_leased(job, lease, table)
        _tell_busy(job, busy)
    except (NoSuchTableError, FileNotFoundError) as error:
        if not job.is_outrun(table):
            raise Stopped(
                f"lake table {job.name}: a file that it names is gone: {error}",
                hint="`olist sink rebuild iceberg` reads the topic again",
            ) from error
        log.info("dropped or expired while it was compacted", table=job.name, seen=str(error))
    return None


def _run_leased(job: Job, lease: Lease, table: Table) -> Report:
    try:
        return job.run(table, Renewal(lease, table.name(), job.means.now_ms))
    finally:
        try:
            lease.give_back(table)
        except (ServerTrouble, NoSuchTableError) as error:  # it runs out by itself
            log.info("lease not given back", table=job.name, reason=str(error))


def _tell_busy(job: Job, busy: Callable[[Busy], object]) -> None:
    table = job.load()
    if table is not None and (lease := held(table)) is not None:
        busy(Busy(job.name, lease))


def run_every(
    jobs: Sequence[Job], lease: Lease, every_s: float, stopping: Event, publish: Callable[[list[Report]], object]
) -> None:
    """`run_once`, every so many seconds, until `stopping` is set. Trouble with a server is waited out."""
    while not stopping.is_set():
        try:
            for report in run_once(jobs, lease):
                publish([report])
        except Stopped as error:
            log.error("going on with the other tables", reason=str(error), way_out=error.hint)
        except ServerTrouble as trouble:
            log.warning("waiting", server=trouble.server, reason=trouble.reason, pause_s=every_s)
        stopping.wait(every_s)
