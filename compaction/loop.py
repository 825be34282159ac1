"""All lake tables, one after the other, again and again until asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Event

import structlog
from pyiceberg.exceptions import NoSuchTableError

from compaction.job import Job, Means
from compaction.lease import Lease
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


def run_once(jobs: Sequence[Job], lease: Lease) -> Iterator[Report]:
    """Compact each table that is worth it; a report for each.

    Raises:
        ServerTrouble: catalog or storage is away.
        Stopped: a table's positions do not add up.
    """
    stopped: Stopped | None = None
    for job in jobs:
        if job.means.stopping():
            return
        table = job.load()
        if table is None or not job.is_due(table):
            continue
        if not lease.take(table, job.means.now_ms()):
            log.info("another compactor has this table", table=job.name)
            continue
        try:
            yield job.run(table)
            lease.give_back(table.refresh())
        except (NoSuchTableError, FileNotFoundError) as error:
            now = job.load()
            if now is not None and now.metadata.table_uuid == table.metadata.table_uuid:
                raise
            log.info("dropped while it was compacted", table=job.name, seen=str(error))
        except Stopped as error:  # this table needs a person; the others need compaction all the same
            log.error("not compacted", table=job.name, reason=str(error), way_out=error.hint)
            stopped = stopped or error
    if stopped is not None:
        raise stopped


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
