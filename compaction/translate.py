"""Deletes that arrived while files were rewritten, said again of the files that hold the rows now. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from olist.lake.moves import Moves

I64 = npt.NDArray[np.int64]


def translate(arrived: Mapping[str, I64], moves: Moves) -> dict[str, I64]:
    """Old file -> deleted rows, as new file -> deleted rows, sorted.

    A row that the rewrite had already left behind is in no new file and needs no delete.
    """
    found: dict[str, list[I64]] = defaultdict(list)
    for path, rows in arrived.items():
        for new_path, new_rows in moves.translate(path, rows).items():
            found[new_path].append(new_rows)
    return {path: np.unique(np.concatenate(rows)) for path, rows in found.items()}
