"""Bring the worker's connector to what the contracts say, in the order that never leaves a gap."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from connect import beginning, capture
from connect.changes_of import changes
from connect.postgres import Config
from connect.watch import failed, until_idle, until_running
from connect.worker import Worker
from olist.contracts import Contract
from olist.errors import BadInput, Stopped
from olist.settings import Settings
from olist.tables import TABLES

Say = Callable[[str], None]
Agree = Callable[[], bool]
Ready = Callable[[], bool]


def apply(worker: Worker, config: Config, say: Say, agree: Agree, ready: Ready = lambda: False) -> None:
    """1. Let the plugin judge the configuration. 2. Show what changes. 3. Change it, stopped. 4. Wait until it runs.

    `ready` makes the source ready, before the connector starts, and tells whether it has to begin anew there: what the
    worker remembers of an earlier connector of that name is forgotten then. Without a difference nothing is touched but
    what an apply that was cut off left stopped; a connector that does not run is still an error.

    Raises:
        BadInput: the plugin refuses the configuration, with each setting's reason.
        ServerTrouble: it does not run afterwards, with its task's trace.
        Stopped: it is paused, and nothing differs.
    """
    name = config["name"]
    validate(worker, config)
    there = worker.config(name)
    edits = changes(there, config)
    if not edits:
        say(f"{name}: nothing to change")
        if ready():
            _stop(worker, name)
            worker.forget_offsets(name)
        _resume_if_stopped(worker, name)
        until_running(worker, name)
        return
    say("\n".join([f"{name}: {'change' if there else 'create'}", *(f"  {edit}" for edit in edits)]))
    if not agree():
        return
    if there is not None:
        _stop(worker, name)
    if ready():
        if there is None:
            worker.create_stopped(config)
            until_idle(worker, name)
        worker.forget_offsets(name)
    worker.put(config)
    worker.ask(name, "resume")
    until_running(worker, name)
    say(f"{name}: running")


def _stop(worker: Worker, name: str) -> None:
    worker.ask(name, "stop")
    until_idle(worker, name)


def _resume_if_stopped(worker: Worker, name: str) -> None:
    """Only an apply or a delete stops a connector; a user pauses it."""
    status = worker.status(name)
    state = None if status is None else status.connector.state
    if state == "PAUSED":
        raise Stopped(f"{name} is paused", hint="`olist connect resume`")
    if state == "STOPPED":
        worker.ask(name, "resume")


def validate(worker: Worker, config: Config) -> None:
    """Ask the plugin itself.

    Raises:
        BadInput: it is not installed, or refuses a setting.
    """
    if config["connector.class"] not in worker.plugins():
        raise BadInput(
            f"the worker at {worker.url} has no {config['connector.class']}",
            hint="its plugin is not among the worker's; docs/cdc.md says where each connector can run",
        )
    if problems := worker.validate(config):
        told = "\n".join(f"  {problem.setting}: {problem.message}" for problem in problems)
        raise BadInput(f"{config['name']}: the connector refuses its configuration\n{told}")


def bootstrap(
    settings: Settings, worker: Worker, name: str, say: Say, contracts: Iterable[Contract] = TABLES.values()
) -> None:
    """After a start: rows that were there before capture have no change in the WAL, so have them read, once a table."""

    def still_well() -> None:
        check(settings, worker, name)

    capture.until_streaming(settings, still_well)
    if filled := beginning.begin_once(settings, contracts, still_well):
        say(f"{name}: rows were there before: asked for an incremental snapshot of {_names(filled)}")


def raise_if_failed(worker: Worker, name: str) -> None:
    """For whoever waits for something that a failed connector will not bring.

    Raises:
        ServerTrouble: with the trace.
    """
    status = worker.status(name)
    if status is not None and status.trace:
        raise failed(status)


def check(settings: Settings, worker: Worker, name: str) -> None:
    """As `raise_if_failed`, for the shop's connector, which may also wait in silence for a slot that is lost.

    Raises:
        ServerTrouble: with the trace.
        Stopped: the slot is lost.
    """
    raise_if_failed(worker, name)
    capture.refuse_lost_slot(settings)


def _names(contracts: list[Contract]) -> str:
    return ", ".join(contract.table for contract in contracts)
