"""What a stream app is: a name, what it reads, what it writes, and pure functions or one SELECT between them.

An app is one file of `apps/` that ends in ``APP = FlinkApp(...)`` or ``APP = FaustApp(...)``. Its docstring says
what it reads and writes, what state it keeps for how long, and what it guarantees. Its output contracts are declared in
the same file; the sinks find them (`olist.contract_registry`) and carry them like any table.

Nothing here imports an engine: declaring an app, rendering it and testing its functions need neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec

from olist.contracts import Contract, Row
from olist.errors import BadRecord

if TYPE_CHECKING:
    from olist.changes import Change  # numpy comes with it

S = TypeVar("S", bound=msgspec.Struct)

Key: TypeAlias = tuple[str, ...]
"""A space's name and the values of the key columns, as text: what a Faust app's state belongs to."""

Out: TypeAlias = tuple[Contract, Row]
"""One row of one output."""


@dataclass(frozen=True, eq=False)
class FlinkApp:
    """An app that is one SELECT over the contracts it reads; Flink keeps it up to date with every change.

    `select` reads each contract by its table's name, as a view of its current rows (the contract's columns, money as
    DECIMAL, timestamps as BIGINT microseconds, and `_committed_us`), and yields the output contract's columns by name.
    `state_ttl` says for how long (of wall time) an idle row of a table is remembered; one that is not named is kept for
    ever.
    """

    name: str
    reads: tuple[Contract, ...]
    writes: Contract
    select: str
    state_ttl: Mapping[str, timedelta] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[Contract, ...]:
        """The one output."""
        return (self.writes,)


@dataclass(frozen=True, eq=False)
class Input:
    """A contract that a Faust app reads, arranged by the columns that make its state's key.

    Where `by` is not the contract's own key, records are first forwarded to a topic of the app's own, keyed by it, so
    that everything about one key meets in one partition. `space` keeps keys of different kinds apart.
    """

    contract: Contract
    by: tuple[str, ...]
    space: str = ""


def no_timer(_state: Any, _clock_us: int) -> int | None:
    """Rows of this app do not change by the passing of time."""
    return None


def never_forgotten(_state: Any) -> timedelta | None:
    """States of this app are kept for ever."""
    return None


def no_rows(_refused: BadRecord) -> Iterable[Out]:
    """This app says nothing of records that cannot be decoded; they are on the dead-letter topic."""
    return ()


@dataclass(frozen=True, eq=False)
class FaustApp(Generic[S]):
    """An app that folds the changes of each key into a state, and derives rows from the state.

    All functions are pure. Rows are a function of the state, so that a change which comes twice (the state is kept
    with the position of the last one it holds) changes nothing and leaves the same rows: state and output are
    effectively once. An exception in one of them is a bug: the worker ends, naming the key and the position.

    A key's state is `state()` until its first change. A state that equals `state()` again and stands for no rows (all
    was deleted) is dropped after a while by itself.

    The clock is event time: the source's commit time of which every source partition that is not idle is sure to be
    past. It is 0 for an app without `due` and `forget_after`, and until the sources have been heard.

    Attributes:
        name: the app's name, its file's name.
        reads: inputs, each arranged by the state's key.
        writes: the contracts of its rows. The rows of one key are of that key alone.
        state: a struct with a default for every field: the state of a key of which nothing is known.
        fold: state after a change; may change the state in place and return it.
        rows: the rows that a key's state and the event-time clock (microseconds since 1970) stand for.
        due: of a state and the clock, the next event time after the clock at which `rows` gives something else by
            itself, or None.
        forget_after: for how long after its last change, in event time, a state is remembered; None: for ever. The
            rows of a forgotten state stay; a change that comes later begins with `state()`.
        of_refused: rows about a record that cannot be decoded.
        count_by: columns of the outputs' keys; the rows that stand are counted by their values in the metrics.
    """

    name: str
    reads: tuple[Input, ...]
    writes: tuple[Contract, ...]
    state: type[S]
    fold: Callable[[S, Input, Change], S]
    rows: Callable[[Key, S, int], Iterable[Out]]
    due: Callable[[S, int], int | None] = no_timer
    forget_after: Callable[[S], timedelta | None] = never_forgotten
    of_refused: Callable[[BadRecord], Iterable[Out]] = no_rows
    count_by: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[Contract, ...]:
        """Every output."""
        return self.writes

    @property
    def timed(self) -> bool:
        """Whether this app needs a clock."""
        return self.due is not no_timer or self.forget_after is not never_forgotten


App: TypeAlias = FlinkApp | FaustApp[Any]
