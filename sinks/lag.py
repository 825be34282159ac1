"""How far a target stands behind its topic."""

from __future__ import annotations

from olist.contracts import Contract
from olist.positions import TopicState
from olist.positions import lag as behind
from olist.settings import Settings
from sinks.readback import read_positions


def lag(target: str, contract: Contract, settings: Settings, state: TopicState) -> int | None:
    """Offsets between the target's positions and the topic's end; None for a target the contract does not name.

    Offsets have holes (transaction markers, compaction), so this is an upper bound of the changes still to come.
    Looking creates and changes nothing.

    Raises:
        ServerTrouble: the target does not answer.
    """
    if target not in contract.targets:
        return None
    return behind(read_positions(target, contract, settings), state)
