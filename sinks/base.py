"""The sink contract: what a target promises the runner, and nothing else.

Batching, decoding, dead letters, retries, rebalances and the clock belong to the runner (`sinks.runtime`). A target
writes one batch of one table at a time, in two steps, and holds the table's positions beside its rows:

1. `stage` brings the rows to the target without making them count, and names the rows that this target cannot take:
   all of that is the value `Staged`.
2. The runner writes those rows to the dead letters.
3. `commit` takes that value, and makes the rows and the new positions count. It is compare-and-set on the positions
   this process started from: a process that was paused while another took over its partitions is refused (`Fenced`)
   and writes nothing.

Kill it anywhere: before 3 the target still holds the old positions and the batch is read again; after 3 it holds the
new ones. A target that cannot do 3 atomically (OpenSearch) orders it so that a repeat changes nothing.

To add a target: its name in `olist.contracts.Target`, and one folder whose module `table` has a function
`connect(contract, settings)` that returns a `SinkTable`, not yet opened. The laws in tests/laws hold it to this.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, NamedTuple, TypeVar, get_args

from olist.batches import Batch
from olist.contracts import Contract, Target
from olist.errors import BadInput, ServerTrouble
from olist.positions import Positions
from olist.settings import Settings

Prepared = TypeVar("Prepared")


class Refusal(NamedTuple):
    """A row (index into the batch's frame) that this target cannot take, and why."""

    row: int
    reason: str


@dataclass(frozen=True)
class Staged(Generic[Prepared]):
    """A batch that is at the target and does not count yet: `prepared` is what the target's own `commit` needs of it.

    Rows of the batch's frame that are `refused` are not staged; the batch's positions pass them all the same.
    """

    batch: Batch
    prepared: Prepared
    refused: Sequence[Refusal] = ()


class SinkTable(ABC, Generic[Prepared]):
    """One contract's table in one target. Used from one thread at a time.

    Every call may raise `ServerTrouble`: the runner waits, calls `open` again and repeats from the positions it finds.
    """

    name: str  # the target's name in messages, metrics and dead letters

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    @abstractmethod
    def open(self) -> Positions | None:
        """Connect, create or evolve the table from the contract, and return where it stands (None: new).

        What was staged before can no longer be committed. Idempotent.

        Raises:
            ContractRefused: the table there and the contract cannot both be right; nothing was changed.
        """

    @abstractmethod
    def assign(self, partitions: frozenset[int]) -> None:
        """Take these partitions over: load what writing them needs. Called after each `open`."""

    @abstractmethod
    def stage(self, batch: Batch) -> Staged[Prepared]:
        """Bring the batch, whose frame may be empty, to the target. Of batches staged the last may be committed."""

    @abstractmethod
    def commit(self, staged: Staged[Prepared], expected: Positions) -> Positions:
        """Make the staged rows and ``expected.advanced(batch.next)`` count; return where the target then stands.

        Raises:
            Fenced: the target does not stand at `expected` for the batch's partitions; nothing was written.
            ServerTrouble: the table was opened again since the batch was staged; nothing was written.
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

    def outdated(self) -> ServerTrouble:
        """What `commit` raises for a batch of before the last `open`, or that another has taken the place of."""
        reason = f"{self.contract.table} was opened again, or staged to, since the batch was staged; it is read again"
        return ServerTrouble(self.name, reason)


Factory = Callable[[Contract, Settings], SinkTable[Any]]

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
