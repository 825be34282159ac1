"""`olist compact`: keep lake tables small, fast to read and cheap to commit to."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING

import click
import structlog

from compaction.options import may_delete
from olist import contract_registry
from olist.contracts import Contract
from olist.errors import BadInput
from olist.json_output import show_json
from olist.settings import settings
from olist.stop_signals import set_on_signal
from olist.terminal import show

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.table import Table

    from compaction.job import Environment, Job
    from compaction.sweep import Orphans

log = structlog.get_logger()

DURATIONS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES = {"KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
LEAST_MEMORY = 512 << 20

tables_option = click.option("--tables", default="", help="Only these tables, comma separated; the default is all.")
output_option = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    return None if text is None else _amount(text, DURATIONS, "60s, 5m, 3d")


def _bytes(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    amount = int(_amount(text, SIZES, "512MB, 2GB"))
    if amount < LEAST_MEMORY:
        raise click.BadParameter(f"{text} is too little: the libraries and the rows in hand take most of 512MB")
    return amount


def _amount(text: str, units: dict[str, float] | dict[str, int], examples: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]+)", text)
    if found is None or found[2] not in units:
        raise click.BadParameter(f"{text!r} is not like {examples}")
    return float(found[1]) * units[found[2]]


@click.group("compact", invoke_without_command=True)
@click.option("--every", "every_s", callback=_seconds, help="Go on until stopped, this often (60s); without it: once.")
@click.option("--memory", callback=_bytes, default="512MB", show_default=True, help="What to hold the process to.")
@click.option("--dry-run", is_flag=True, help="Show what would be done and do nothing: as `olist compact plan`.")
@tables_option
@output_option
@click.pass_context
def command(
    context: click.Context, every_s: float | None, memory: int, dry_run: bool, tables: str, output: str
) -> None:
    """Rewrite small files and deleted rows, expire snapshots. Safe beside live sinks, and beside itself.

    A scan is timed for tables up to 64 MB, and once a minute; elsewhere it is shown as "-".

    \b
    olist compact --every 60s              until stopped (SIGTERM finishes the group in hand)
    olist compact --tables orders          once, one table and its history
    olist compact plan                     what would be done
    olist compact sweep --older-than 3d    orphans; --delete removes them
    """
    if context.invoked_subcommand is not None:
        return
    if dry_run:
        context.invoke(plan, tables=tables, output=output)
        return
    contracts, stopping = _contracts(tables), Event()
    set_on_signal(stopping)
    patience_s = 0.0 if every_s is None else settings().patience_s  # who comes again anyhow waits for no server
    with _environment(memory, stopping, patience_s) as env:
        _run(env, contracts, every_s, stopping, output)


def _run(env: Environment, contracts: Sequence[Contract], every_s: float | None, stopping: Event, output: str) -> None:
    from compaction.lease import Lease
    from compaction.loop import Busy, jobs_of, log_busy, run_every, run_once
    from compaction.report import Report, publish, shown
    from olist.telemetry import serve_metrics

    def emit(reports: list[Report]) -> None:
        if output == "json":
            for report in reports:
                show_json(report)
        elif reports:
            show(shown(reports))
        publish(env.settings, reports)

    lease = Lease(env.catalog, f"{socket.gethostname()}:{os.getpid()}")
    jobs = jobs_of(env, contracts)
    if every_s is not None:
        try:
            serve_metrics(env.settings)
        except OSError as error:  # a sink of this machine serves its own there
            log.warning("metrics not served", port=env.settings.metrics_port, reason=str(error))
        run_every(jobs, lease, every_s, stopping, emit)
        return
    reports: list[Report] = []
    busy: list[Busy] = []
    try:
        reports.extend(run_once(jobs, lease, log_busy if output == "json" else busy.append))
    finally:  # what stopped one table hides nothing of the others
        emit(reports)
        for one in busy:
            click.echo(str(one))
    if output == "table" and not reports and not busy:
        click.echo("nothing to do")


@command.command("plan")
@tables_option
@output_option
def plan(tables: str, output: str) -> None:
    """Show what a run would do: files that become fewer, snapshots that expire."""
    from compaction.loop import TableErrors

    errors = TableErrors("not planned")
    found = []
    for job in _jobs(tables):
        with errors.of(job.name):
            found += [{"table": job.name, **work} for work in [_work(job)] if work]
    _show_plan(found, output, nothing="" if errors.found else "nothing to do")
    errors.raise_first()


def _show_plan(found: Sequence[dict[str, object]], output: str, *, nothing: str) -> None:
    from rich.table import Table

    if output == "json":
        show_json(found)
        return
    shown = Table("table", "groups", "data files", "MB", "delete files", "snapshots", box=None)
    for work in found:
        shown.add_row(*map(str, work.values()))
    if found:
        show(shown)
    elif nothing:
        click.echo(nothing)


def _work(job: Job) -> dict[str, object]:
    table = job.load()
    if table is None or not job.is_due(table):
        return {}
    planned = job.plan(table, job.reader(table).contents(table))
    return {
        "groups": len(planned.groups),
        "data_files": sum(len(group.files) for group in planned.groups),
        "megabytes": round(sum(group.size for group in planned.groups) / 1e6, 1),
        "delete_files": sum(len(group.files) for group in planned.deletes),
        "snapshots": len(job.expired(table)),
    }


@command.command("expire")
@tables_option
def expire(tables: str) -> None:
    """Expire old snapshots only; their files go after the readers' grace, with the next runs."""
    from compaction.loop import TableErrors

    errors = TableErrors("not expired")
    for job in _jobs(tables):
        with errors.of(job.name):
            table = job.load()
            if table is not None:
                why = "" if may_delete(table.properties) else " (gc.enabled is false)"
                click.echo(f"{job.name}: {job.expire()} snapshots expired{why}")
    errors.raise_first()


@command.command("sweep")
@click.option("--older-than", "older_than_s", callback=_seconds, default="3d", show_default=True)
@click.option("--delete", "delete_them", is_flag=True, help="Delete them; without this they are only listed.")
@click.option("--yes", is_flag=True, help="With --delete: also where the list looks like a mistake.")
@click.option("--dry-run", is_flag=True, help="Only list them; this is the default.")
@tables_option
@output_option
def sweep(older_than_s: float, delete_them: bool, yes: bool, dry_run: bool, tables: str, output: str) -> None:
    """List, and with --delete remove, files that no snapshot refers to: what killed writers left behind.

    More than a tenth of a table's files, or one that is younger than its newest commit, are not deleted without --yes.
    """
    from compaction.loop import TableErrors
    from compaction.sweep import orphans
    from olist.lake.files import ORPHAN_MIN_AGE_MS, wall_ms

    if older_than_s * 1000 < ORPHAN_MIN_AGE_MS:
        raise BadInput(
            f"--older-than is below {ORPHAN_MIN_AGE_MS // 3_600_000}h",
            hint="a long rewrite, or a sink that was paused, commits files that are hours old; they are no orphans",
        )
    errors, is_deleting = TableErrors("not swept"), delete_them and not dry_run
    for job in _jobs(tables):
        with errors.of(job.name):
            table = job.load()
            if table is not None:
                found = orphans(table.refresh, settings(), int(older_than_s * 1000), wall_ms())
                _sweep(table, found, output, delete_them=is_deleting, yes=yes)
    errors.raise_first()


def _sweep(table: Table, found: Orphans, output: str, *, delete_them: bool, yes: bool) -> None:
    from compaction.storage import discard

    reasons = _reasons_to_keep(table, found, yes=yes)
    is_deleting = delete_them and not reasons
    if is_deleting:
        discard(table, [file.path for file in found.files])
    name = table.name()[-1]
    _show_orphans(name, found, output, deleted=is_deleting)
    if delete_them and reasons:
        hint = "look at the list; --yes deletes all the same"
        raise BadInput(f"nothing was deleted of {name}: {'; '.join(reasons)}", hint=hint)


def _reasons_to_keep(table: Table, found: Orphans, *, yes: bool) -> list[str]:
    """Why a sweep must not delete what it found of a table."""
    if not found.files:
        return []
    if not may_delete(table.properties):
        return ["its property gc.enabled is false, which --yes does not change"]
    return [] if yes else found.doubts


def _show_orphans(name: str, found: Orphans, output: str, *, deleted: bool) -> None:
    paths = [file.path for file in found.files]
    if output == "json":
        shown = {"table": name, "orphans": paths, "deleted": deleted, "doubts": found.doubts}
        show_json(shown)
        return
    megabytes = sum(file.size for file in found.files) / 1e6
    done = "deleted" if deleted else "would be deleted by --delete"
    click.echo("".join(f"{path}\n" for path in paths) + f"{name}: {len(paths)} files, {megabytes:.1f} MB {done}")
    for doubt in found.doubts:
        click.echo(f"  {doubt}")


def _jobs(tables: str) -> Iterator[Job]:
    from compaction.loop import jobs_of

    with _environment(LEAST_MEMORY, Event()) as env:
        yield from jobs_of(env, _contracts(tables))


@contextmanager
def _environment(memory: int, stopping: Event, patience_s: float = 0.0) -> Iterator[Environment]:
    from compaction.job import Environment
    from compaction.loop import wait_for
    from compaction.rewrite import Budget
    from olist.lake.catalog import open_catalog
    from olist.lake.errors import lake_errors
    from olist.telemetry import configure_logging

    current = settings()
    configure_logging(current)
    with TemporaryDirectory(prefix="olist-compact-") as folder:

        def opened() -> SqlCatalog:
            with lake_errors():
                return open_catalog(current)

        catalog = wait_for(opened, patience_s, stopping, time.monotonic)
        try:
            yield Environment(catalog, current, Budget(memory, Path(folder)), stopping.is_set)
        finally:
            catalog.close()


def _contracts(tables: str) -> list[Contract]:
    known = contract_registry.contracts()
    names = [name.strip() for name in tables.split(",") if name.strip()] or list(known)
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"no table named {', '.join(unknown)}", hint=f"tables: {', '.join(known)}")
    return [known[name] for name in names if "iceberg" in known[name].targets]
