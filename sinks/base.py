"""The sink contract: what a target promises the runner, and nothing else.

Batching, decoding, dead letters, retries, rebalances and the clock belong to the runner (`sinks.runtime`). A target
writes one batch of one table at a time, in two steps, and holds the table's positions beside its rows:

1. `stage` brings the rows to the target without making them count, and names the rows that this target cannot take.
2. The runner writes those to the dead letters.
3. `commit` makes the rows and the new positions count. It is compare-and-set on the positions this process started
   from: a process that was paused while another took over its partitions is refused (`Fenced`) and writes nothing.

Kill it anywhere: before 3 the target still holds the old positions and the batch is read again; after 3 it holds the
new ones. A target that cannot do 3 atomically (OpenSearch) orders it so that a repeat changes nothing.

To add a target: its name in `olist.contracts.Target`, and one folder whose module `table` has a function
`connect(contract, settings)` that returns a `SinkTable`, not yet opened. The laws in tests/laws hold it to this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple, get_args

from olist.batches import Batch
from olist.contracts import Contract, Target
from olist.errors import BadInput
from olist.positions import Positions
from olist.settings import Settings


class Refusal(NamedTuple):
    """A row (index into the batch's frame) that this target cannot take, and why."""

    row: int
    reason: str


class SinkTable(ABC):
    """One contract's table in one target. Used from one thread at a time.

    Every call may raise `ServerTrouble`: the runner waits, calls `open` again and repeats from the positions it finds.
    """

    name: str  # the target's name in messages, metrics and dead letters

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    @abstractmethod
    def open(self) -> Positions | None:
        """Connect, create or evolve the table from the contract, and return the positions it holds (None: new).

        Drops whatever was staged. Idempotent.

        Raises:
            ContractRefused: the table there and the contract cannot both be right; nothing was changed.
        """

    @abstractmethod
    def assign(self, partitions: frozenset[int]) -> None:
        """Take these partitions over: load what writing them needs. Called after each `open`."""

    @abstractmethod
    def stage(self, batch: Batch) -> Sequence[Refusal]:
        """Bring the batch to the target, uncommitted. Refused rows are not staged. May be called again instead."""

    @abstractmethod
    def commit(self, batch: Batch, held: Positions) -> Positions:
        """Make the staged batch and ``held.advanced(batch.next)`` count; return the positions now held.

        `batch` is the staged one less its refused rows; its frame may be empty, and then only the positions move.

        Raises:
            Fenced: the target no longer stands at `held` for the batch's partitions; nothing was written.
        """

    def backpressure_s(self) -> float:
        """Back-pressure: seconds for which the topic is to be paused. Other tables are not held up by it."""
        return 0.0

    def dependents(self) -> Sequence[str]:
        """What else `drop` removes, by name: what reads this table and cannot stay without it. Changes nothing."""
        return ()

    @abstractmethod
    def drop(self) -> None:
        """Remove the table and its positions, so that the topic can be read from its beginning.

        A history stays: a compacted topic no longer holds what it does. It takes only what is above its own positions.
        """

    def histories(self) -> Sequence[str]:
        """What holds every change of the topic beside this table, by name; `drop` leaves it. Changes nothing."""
        return ()

    def drop_histories(self) -> Sequence[str]:
        """Remove that too, for good; return what was removed."""
        return ()

    def history_positions(self) -> Sequence[Positions]:
        """Positions of histories as of `open`: the topic must fit them too, though reading goes on below them."""
        return ()

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. Never raises for a server that is gone."""


Factory = Callable[[Contract, Settings], SinkTable]

TARGETS: tuple[str, ...] = get_args(Target)


def factory(target: str) -> Factory:
    """The function that makes a target's tables; the target is imported now.

    Raises:
        BadInput: there is no such target.
    """
    if target not in TARGETS:
        raise BadInput(f"no sink named {target!r}", hint=f"one of: {', '.join(TARGETS)}")
    made: Factory = import_module(f"sinks.{target}.table").connect
    return made
