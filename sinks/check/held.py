"""What a target holds, read as its users read it, with the positions it claims. Reading creates and changes nothing.

Each target's folder has a module ``current_rows`` with `read(contract, settings)` and `positions(contract, settings)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import polars as pl

from olist.batches import META, OFFSET, OP, PARTITION, frame_schema
from olist.contracts import Contract
from olist.errors import Stopped
from olist.positions import Positions
from olist.settings import Settings


@dataclass(frozen=True)
class Held:
    """A target's live rows, with where each came from, and the target's positions (None: it holds none).

    `moved` says that the positions changed while rows were read that are not of one and the same snapshot with them.
    """

    rows: pl.DataFrame
    positions: Positions | None
    moved: bool = False

    def torn(self) -> bool:
        """Whether the rows go with no positions: they were read while the target was being written."""
        if self.moved:
            return True
        reached = dict(self.positions.next) if self.positions else {}
        newest = self.rows.group_by(PARTITION).agg(pl.col(OFFSET).max()).iter_rows()
        return any(offset >= reached.get(partition, 0) for partition, offset in newest)


def read_held(target: str, contract: Contract, settings: Settings) -> Held | None:
    """The target's rows and positions; None when it has no such table.

    Raises:
        ServerTrouble: the target does not answer.
        Stopped: what is there cannot be read as the contract's rows.
    """
    found: Held | None = import_module(f"sinks.{target}.current_rows").read(contract, settings)
    if found is not None:
        _check_shape(target, contract, found.rows)
    return found


def read_positions(target: str, contract: Contract, settings: Settings) -> Positions | None:
    """The target's positions; None when it has none.

    Raises:
        ServerTrouble: the target does not answer.
    """
    found: Positions | None = import_module(f"sinks.{target}.current_rows").positions(contract, settings)
    return found


def names(contract: Contract) -> list[str]:
    """The columns of a target's rows: the contract's, then where each row came from."""
    return [*(column.name for column in contract.columns), *META[1:]]


def empty(contract: Contract) -> pl.DataFrame:
    """No rows."""
    return pl.DataFrame(schema=frame_schema(contract)).drop(OP)


def _check_shape(target: str, contract: Contract, rows: pl.DataFrame) -> None:
    wanted = frame_schema(contract)
    lacking = [name for name in names(contract) if name not in rows.columns]
    other = [f"{n} is {kind}" for n, kind in rows.schema.items() if n in wanted and kind != wanted[n]]
    if lacking or other:
        told = [*([f"it lacks {', '.join(lacking)}"] if lacking else []), *other]
        raise Stopped(
            f"{target} table {contract.table} is not the contract's: {'; '.join(told)}",
            hint=f"a running `olist sink run {target}` adds new columns",
        )
