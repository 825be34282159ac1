"""Write a synthetic data set: the nine files in a folder that appears when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from olist.errors import BadInput
from producers.generation.catalogue import Sizes, catalogue
from producers.generation.frames import CsvFolder
from producers.generation.orders import orders_chunk

CHUNK = 10_000  # orders in memory at a time


def generate(folder: Path, orders: int, seed: int, progressed: Callable[[int], None]) -> None:
    """Write the files; `progressed` is told the orders written so far.

    Raises:
        BadInput: the folder is there already.
    """
    if folder.exists():
        raise BadInput(f"{folder} is there already", hint="give another --out, or remove it")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    sizes = Sizes(seed, orders)
    with CsvFolder(partial) as files:
        for contract, frame in catalogue(sizes):
            files.append(contract, frame)
        for first in range(0, orders, CHUNK):
            count = min(CHUNK, orders - first)
            for contract, frame in orders_chunk(sizes, first, count).items():
                files.append(contract, frame)
            progressed(first + count)
    partial.rename(folder)
