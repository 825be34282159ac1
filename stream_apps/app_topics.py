"""The contracts whose topics an app reads and writes, and the names of its generations.

A generation that is built beside the running one writes to topics of its own, until its rows are exchanged for the real
ones'.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from olist.contracts import Contract
from stream_apps.app import App, FlinkApp

FOREGROUND = 0
"""The generation of what `olist apps run` runs and leaves nothing of."""
FIRST_GENERATION = 1


@dataclass(frozen=True, eq=False)
class Staged(Contract):
    """A contract on a topic beside the real one. Everything else about it is as it was."""

    generation: str = ""

    def topic(self, prefix: str) -> str:
        """The real topic's name with the generation behind it."""
        return staged_topic(super().topic(prefix), self.generation)


def staged_topic(topic: str, generation: str) -> str:
    """Where a generation writes what will belong on `topic`."""
    return f"{topic}.{generation}"


def generation_name(generation: int) -> str:
    """What a generation's groups and topics end in; the first one's end in nothing."""
    return {FOREGROUND: "foreground", FIRST_GENERATION: ""}.get(generation, f"g{generation}")


def staged_app(app: App, generation: str) -> App:
    """The same app, writing beside its real topics."""
    if isinstance(app, FlinkApp):
        return replace(app, writes=_staged(app.writes, generation))
    return replace(app, writes=tuple(_staged(contract, generation) for contract in app.writes))


def _staged(contract: Contract, generation: str) -> Staged:
    given = {one.name: getattr(contract, one.name) for one in fields(Contract)}
    return Staged(**given, generation=generation)


def contracts_of(app: App) -> list[Contract]:
    """The contracts that an app reads and writes, each once."""
    reads = app.reads if isinstance(app, FlinkApp) else tuple(given.contract for given in app.reads)
    return list({contract.table: contract for contract in (*reads, *app.outputs)}.values())
