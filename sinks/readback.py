"""Read a target back as its users read it, chunk by chunk, with the positions it claims. Creates and changes nothing.

Each target's folder has a module ``current_rows`` with `read(contract, settings)`, a context manager, and
`positions(contract, settings)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module

import polars as pl

from olist.batches import META, OP, frame_schema
from olist.contracts import Contract
from olist.errors import ServerTrouble, Stopped
from olist.positions import Positions
from olist.settings import Settings

CHUNK_ROWS = 10_000
SHOWN_DEFECTS = 20


class ReplacedWhileRead(ServerTrouble):
    """What was read is gone from under the reader; what it gave so far is of no state. Read again from the start."""


@dataclass
class Defects:
    """What is wrong with a table beside its rows' values: how often each kind, and the first of them in words."""

    counts: dict[str, int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str, count: int = 1) -> None:
        """One more (or `count` more) of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        if len(self.shown) < SHOWN_DEFECTS:
            self.shown.append(text)


@dataclass(frozen=True)
class Reading:
    """One table while it is read: its `positions`, then its rows in `chunks` with the columns of `names(contract)`.

    In a target without transactions (`snapshot` is false) rows may be newer than the positions, which were read before
    the rows; `positions_now` reads them again. `defects` is complete once the chunks are read. `late` names the columns
    that were added to the table after it was made: rows from before lack them.
    """

    positions: Positions | None
    chunks: Iterator[pl.DataFrame]
    snapshot: bool = True
    positions_now: Callable[[], Positions | None] | None = None
    defects: Defects = field(default_factory=Defects)
    late: frozenset[str] = frozenset()


@contextmanager
def read(target: str, contract: Contract, settings: Settings, **which: bool) -> Iterator[Reading | None]:
    """The target's table, opened for reading; None when it has no such table.

    `which` goes to the target's module: the lake's has ``history=True``.

    Raises:
        ServerTrouble: the target does not answer.
        ReplacedWhileRead: by a chunk; begin again.
        Stopped: what is there cannot be read as the contract's rows.
    """
    opened: AbstractContextManager[Reading | None] = import_module(f"sinks.{target}.current_rows").read(
        contract, settings, **which
    )
    with opened as reading:
        yield reading


def read_positions(target: str, contract: Contract, settings: Settings) -> Positions | None:
    """The target's positions; None when it has none.

    Raises:
        ServerTrouble: the target does not answer.
    """
    found: Positions | None = import_module(f"sinks.{target}.current_rows").positions(contract, settings)
    return found


def names(contract: Contract, *, history: bool = False) -> list[str]:
    """The columns of a target's rows: the contract's, then where each row came from (a history: and what it did)."""
    return [*(column.name for column in contract.columns), *(META if history else META[1:])]


def empty(contract: Contract) -> pl.DataFrame:
    """No rows."""
    return pl.DataFrame(schema=frame_schema(contract)).drop(OP)


def check_shape(target: str, contract: Contract, found: pl.Schema, *, history: bool = False) -> None:
    """Refuse columns that are not the contract's.

    Raises:
        Stopped: naming those that lack or are of another type.
    """
    wanted = frame_schema(contract)
    lacking = [name for name in names(contract, history=history) if name not in found]
    other = [f"{n} is {kind}" for n, kind in found.items() if n in wanted and kind != wanted[n]]
    if lacking or other:
        what = [*([f"it lacks {', '.join(lacking)}"] if lacking else []), *other]
        raise Stopped(
            f"{target} table {contract.table} is not the contract's: {'; '.join(what)}",
            hint=f"a running `olist sink run {target}` adds new columns",
        )
