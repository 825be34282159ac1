"""Take a connector away, with or without its slot, in an order that may be cut anywhere."""

from __future__ import annotations

from connect import beginning
from connect.postgres import slot_name
from connect.watch import until_gone, until_idle
from connect.worker import Worker
from olist.settings import Settings
from olist.stack.slots import drop


def remove(worker: Worker, name: str, *, offsets: bool) -> bool:
    """Stop the connector and delete it, with where it stands in its source if told so. False: there is none.

    Raises:
        ServerTrouble: it does not stop.
    """
    if worker.config(name) is None:
        return False
    worker.ask(name, "stop")
    until_idle(worker, name)
    if offsets:
        worker.forget_offsets(name)
    worker.delete(name)
    until_gone(worker, name)
    return True


def remove_with_slot(settings: Settings, worker: Worker, name: str) -> tuple[bool, bool]:
    """1. Forget which tables were read. 2. Remove the connector. 3. Drop its slot. Which of the two was there?

    Whoever is cut off may do it again, or apply the connector: it reads the tables anew.

    Raises:
        ServerTrouble: the connector does not stop, or somebody else reads from the slot.
    """
    beginning.forget(settings)
    return remove(worker, name, offsets=True), drop(settings, slot_name(settings))
