"""Bring a connector to what the contracts say, in the order that never leaves a gap; or remove it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from connect import capture, initial_snapshot
from connect.config_diff import changes
from connect.connect_client import ConnectClient, failed, until_gone, until_idle, until_running
from connect.postgres import Config, slot_name
from olist.contracts import Contract
from olist.errors import BadInput, Stopped
from olist.settings import Settings
from olist.stack.slots import drop
from olist.tables import TABLES

Say = Callable[[str], None]
Agree = Callable[[], bool]
Ready = Callable[[], bool]


def apply(client: ConnectClient, config: Config, say: Say, agree: Agree, ready: Ready = lambda: False) -> None:
    """1. Let the plugin judge the configuration. 2. Show what changes. 3. Change it, stopped. 4. Wait until it runs.

    `ready` prepares the source before the connector starts, and says whether its replication slot is missing: the
    offsets that Connect has of an earlier connector of that name are reset then. Without a difference nothing is
    touched but what an apply that was cut off left stopped; a connector that does not run is still an error.

    Raises:
        BadInput: the plugin refuses the configuration, with each setting's reason.
        ServerTrouble: it does not run afterwards, with its task's trace.
        Stopped: it is paused, and nothing differs.
    """
    name = config["name"]
    validate(client, config)
    there = client.config(name)
    edits = changes(there, config)
    if not edits:
        say(f"{name}: nothing to change")
        if ready():
            _stop(client, name)
            client.reset_offsets(name)
        _resume_if_stopped(client, name)
        until_running(client, name)
        return
    say("\n".join([f"{name}: {'change' if there else 'create'}", *(f"  {edit}" for edit in edits)]))
    if not agree():
        return
    if there is not None:
        _stop(client, name)
    if ready():
        if there is None:
            client.create_stopped(config)
            until_idle(client, name)
        client.reset_offsets(name)
    client.put(config)
    client.ask(name, "resume")
    until_running(client, name)
    say(f"{name}: running")


def _stop(client: ConnectClient, name: str) -> None:
    client.ask(name, "stop")
    until_idle(client, name)


def _resume_if_stopped(client: ConnectClient, name: str) -> None:
    """Only an apply or a delete stops a connector; a user pauses it."""
    status = client.status(name)
    state = None if status is None else status.connector.state
    if state == "PAUSED":
        raise Stopped(f"{name} is paused", hint="`olist connect resume`")
    if state == "STOPPED":
        client.ask(name, "resume")


def validate(client: ConnectClient, config: Config) -> None:
    """Ask the plugin itself.

    Raises:
        BadInput: it is not installed, or refuses a setting.
    """
    if config["connector.class"] not in client.plugins():
        raise BadInput(
            f"the worker at {client.url} has no {config['connector.class']}",
            hint="its plugin is not among the worker's; docs/cdc.md says where each connector can run",
        )
    if problems := client.validate(config):
        state_line = "\n".join(f"  {problem.setting}: {problem.message}" for problem in problems)
        raise BadInput(f"{config['name']}: the connector refuses its configuration\n{state_line}")


def bootstrap(
    settings: Settings, client: ConnectClient, name: str, say: Say, contracts: Iterable[Contract] = TABLES.values()
) -> None:
    """After a start: rows that were there before capture have no change in the WAL, so have them read, once a table."""

    def check_connector() -> None:
        check(settings, client, name)

    capture.until_streaming(settings, check_connector)
    if filled := initial_snapshot.snapshot_once(settings, contracts, check_connector):
        say(f"{name}: rows were there before: asked for an incremental snapshot of {_names(filled)}")


def raise_if_failed(client: ConnectClient, name: str) -> None:
    """For whoever waits for something that a failed connector will not bring.

    Raises:
        ServerTrouble: with the trace.
    """
    status = client.status(name)
    if status is not None and status.trace:
        raise failed(status)


def check(settings: Settings, client: ConnectClient, name: str) -> None:
    """As `raise_if_failed`, for the shop's connector, which may also wait in silence for a slot that is lost.

    Raises:
        ServerTrouble: with the trace.
        Stopped: the slot is lost.
    """
    raise_if_failed(client, name)
    capture.refuse_lost_slot(settings)


def _names(contracts: list[Contract]) -> str:
    return ", ".join(contract.table for contract in contracts)


def remove(client: ConnectClient, name: str, *, offsets: bool) -> bool:
    """Stop the connector and delete it, with `offsets` its source offsets too. False: there is no such connector.

    Raises:
        ServerTrouble: it does not stop.
    """
    if client.config(name) is None:
        return False
    client.ask(name, "stop")
    until_idle(client, name)
    if offsets:
        client.reset_offsets(name)
    client.delete(name)
    until_gone(client, name)
    return True


def remove_with_slot(settings: Settings, client: ConnectClient, name: str) -> tuple[bool, bool]:
    """1. Forget which tables had a snapshot. 2. Remove the connector. 3. Drop its slot.

    Returns whether the connector and whether the slot was there.

    After an interruption it may be repeated, or the connector applied, which takes a new snapshot of the tables.

    Raises:
        ServerTrouble: the connector does not stop, or somebody else reads from the slot.
    """
    initial_snapshot.forget_snapshots(settings)
    return remove(client, name, offsets=True), drop(settings, slot_name(settings))
