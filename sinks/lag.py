"""How far a target stands behind its topic."""

from __future__ import annotations

from olist.contracts import Contract
from olist.positions import TopicState
from olist.settings import Settings
from sinks.check.held import read_positions


def lag(target: str, contract: Contract, settings: Settings, state: TopicState) -> int | None:
    """Offsets between the target's positions and the topic's end; None for a target the contract does not name.

    Offsets have holes (transaction markers, compaction), so this is an upper bound of the changes still to come.
    Looking creates and changes nothing.

    Raises:
        ServerTrouble: the target does not answer.
    """
    if target not in contract.targets:
        return None
    held = read_positions(target, contract, settings)
    stands = held.next if held and held.topic_id == state.topic_id else {}  # another topic's positions count nothing
    return sum(max(0, end - max(stands.get(p, 0), state.first[p])) for p, end in state.end.items())
