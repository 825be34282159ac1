"""Read position-delete files: which rows of which data files are gone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO

from olist.lake.files import DELETE_PATH, DELETE_POS

I64 = npt.NDArray[np.int64]


class DeleteFiles:
    """Reads delete files, and remembers of each how many rows it deletes per data file: a file never changes."""

    def __init__(self, io: FileIO) -> None:
        self._io = io
        self._counts: dict[str, Counter[str]] = {}

    def counts(self, path: str) -> Counter[str]:
        """Data file -> rows that this delete file deletes of it."""
        found = self._counts.get(path)
        if found is None:
            found = Counter()
            for batch in _batches(self._io, path):
                names, codes = _dictionary(batch)
                for code, count in enumerate(np.bincount(codes, minlength=len(names)).tolist()):
                    found[names[code].as_py()] += count
            found = self._counts[path] = +found  # a dictionary may name paths that no row of its batch has
        return found

    def rows(self, paths: Iterable[str], data_files: Collection[str]) -> dict[str, I64]:
        """Data file -> its deleted rows, sorted, each once; only of `data_files`, only those with some."""
        found: dict[str, list[I64]] = defaultdict(list)
        for path in paths:
            if self.counts(path).keys() & data_files:
                for data_file, rows in _rows(self._io, path, data_files):
                    found[data_file].append(rows)
        return {data_file: np.unique(np.concatenate(parts)) for data_file, parts in found.items()}

    def keep(self, paths: Collection[str]) -> None:
        """Forget all files but these."""
        self._counts = {path: counts for path, counts in self._counts.items() if path in paths}


def _batches(io: FileIO, path: str) -> Iterator[pa.RecordBatch]:
    with io.new_input(path).open() as stream:
        file = pq.ParquetFile(stream, read_dictionary=[DELETE_PATH])  # type: ignore[arg-type]  # PyIceberg promises less
        yield from file.iter_batches(batch_size=1 << 18, use_threads=False)


def _dictionary(batch: pa.RecordBatch) -> tuple[pa.Array[Any], npt.NDArray[np.int32]]:
    """The paths of a batch of deletes, and each row's number among them."""
    column: Any = batch[DELETE_PATH]
    return column.dictionary, column.indices.to_numpy()


def _rows(io: FileIO, path: str, data_files: Collection[str]) -> Iterator[tuple[str, I64]]:
    wanted = pa.array(list(data_files), type=pa.string())
    for batch in _batches(io, path):
        names, codes = _dictionary(batch)
        rows: Any = batch[DELETE_POS].to_numpy()
        for code in np.flatnonzero(pc.is_in(names, wanted).to_numpy(zero_copy_only=False)).tolist():
            here = rows[codes == code]
            if len(here):
                yield names[code].as_py(), here.astype(np.int64)
