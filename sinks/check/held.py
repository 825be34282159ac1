"""What a target holds, read as its users read it, with the positions it claims. Reading creates and changes nothing.

Each target's folder has a module ``current_rows`` with `read(contract, settings)` and `positions(contract, settings)`.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    A target without transactions is no `snapshot`: its rows may be newer than its positions. With `moved` it says
    whether the positions changed while its rows were read.
    """

    rows: pl.DataFrame
    positions: Positions | None
    snapshot: bool = True
    moved: bool = False

    def torn(self, end: Mapping[int, int]) -> bool:
        """Whether the rows may go with no positions: some changes of the topic (up to `end`) are ahead of them."""
        if self.snapshot:
            return False
        stands = self.positions.next if self.positions else {}
        places = self.rows.select(PARTITION, OFFSET).iter_rows()
        return self.moved or any(stands.get(p, 0) <= offset < end.get(p, 0) for p, offset in places)


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
