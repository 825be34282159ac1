"""Sort any number of rows in bounded memory: sorted runs on disk, merged batch by batch.

A run is as many rows as `run_bytes` hold; when all rows fit one run nothing is spilled. The merge keeps one batch per
run that has begun, and of each run that has not begun its first row alone, so runs that do not overlap cost nothing.
More runs than `FAN_IN` are merged in several passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

I32 = npt.NDArray[np.int32]

BATCH_ROWS = 4096
FAN_IN = 24  # runs merged at once: each holds a batch or two, beside those that wait to be written
_RUN = "_run"


def sorted_frames(
    frames: Iterable[pl.DataFrame], by: Sequence[str], run_bytes: int, spill: Path
) -> Iterator[pl.DataFrame]:
    """The rows of `frames` in the order of the columns `by`, which together are distinct. Nulls come first.

    Args:
        frames: each much smaller than a run.
        by: the sort columns.
        run_bytes: of rows in memory at once, decoded; the peak is some five times this.
        spill: an empty folder for the runs.
    """
    buffered: list[pl.DataFrame] = []
    runs: list[Path] = []
    size, numbers = 0, count()
    for frame in frames:
        buffered.append(frame)
        size += int(frame.estimated_size())
        if size >= run_bytes:
            runs.append(_spill([_sorted(buffered, by)], spill / f"{next(numbers)}.arrow"))
            size = 0
    if not runs:
        if buffered:
            yield _sorted(buffered, by)
        return
    if buffered:
        runs.append(_spill([_sorted(buffered, by)], spill / f"{next(numbers)}.arrow"))
    while len(runs) > FAN_IN:
        some = _taken(runs, min(FAN_IN, len(runs) - FAN_IN + 1))
        runs.append(_spill(_merged(some, by), spill / f"{next(numbers)}.arrow"))
    yield from _merged(_taken(runs, FAN_IN), by)


def _taken(runs: list[Path], most: int) -> list[Iterator[pl.DataFrame]]:
    """Take the first runs from the list, to be read; each leaves the disk with its last row."""
    some = runs[:most]
    del runs[:most]
    return [_batches(run) for run in some]


def _sorted(buffered: list[pl.DataFrame], by: Sequence[str]) -> pl.DataFrame:
    """The buffered rows in order; the buffer is emptied."""
    made = pl.concat(buffered).sort(by)
    buffered.clear()
    return made


def _spill(frames: Iterable[pl.DataFrame], path: Path) -> Path:
    """Write a run in the batches that the merge will load, so that it holds one of them and not the run."""
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), mode="wb") as file, ExitStack() as stack:
        stream = None
        for frame in frames:
            # Not as views: a slice of those is written with the strings of all rows.
            rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            if stream is None:
                stream = stack.enter_context(pa.ipc.new_stream(file, rows.schema, options=options))
            stream.write_table(rows, max_chunksize=BATCH_ROWS)
    pa.default_memory_pool().release_unused()
    return path


def _batches(run: Path) -> Iterator[pl.DataFrame]:
    """A run's rows in order: the first alone, then batches."""
    first = True
    with pa.OSFile(str(run), mode="rb") as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            frame = pl.DataFrame(pl.from_arrow(batch))
            if first and frame.height:
                yield frame[:1]
                frame, first = frame[1:], False
            for start in range(0, frame.height, BATCH_ROWS):
                yield frame[start : start + BATCH_ROWS]
    run.unlink()


def _merged(runs: Sequence[Iterator[pl.DataFrame]], by: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Merge sorted runs. Rows up to the least of the runs' last loaded rows are final: no run can bring less."""
    open_runs = dict(enumerate(runs))
    wanted, pending = list(open_runs), pl.DataFrame()
    while open_runs:
        loaded = list(_load(open_runs, wanted))
        if loaded:
            pending = pl.concat([frame for frame in (pending, *loaded) if frame.height]).sort(by)
        last = _last_rows(pending[_RUN].to_numpy(), open_runs)
        if not last:
            break
        cut = min(last.values())
        if cut >= 0:
            yield _copied(pending, 0, cut + 1).drop(_RUN)
            pending = _copied(pending, cut + 1, pending.height)
        wanted = _low(pending[_RUN].to_numpy(), last, cut)
    if pending.height:
        yield pending.drop(_RUN)


def _copied(frame: pl.DataFrame, start: int, stop: int) -> pl.DataFrame:
    """Rows by themselves: a slice would keep all of `frame` in memory for as long as it lives."""
    return frame.select(pl.all().gather(np.arange(start, stop)))


def _load(open_runs: dict[int, Iterator[pl.DataFrame]], wanted: Iterable[int]) -> Iterator[pl.DataFrame]:
    """The next batch of each wanted run; one that has none is open no more."""
    for run in wanted:
        batch = next(open_runs[run], None)
        if batch is None:
            del open_runs[run]
        else:
            yield batch.with_columns(pl.lit(run, dtype=pl.Int32).alias(_RUN))


def _last_rows(of_run: I32, runs: Iterable[int]) -> dict[int, int]:
    """Run -> its last pending row, or -1 where none is left."""
    last = dict.fromkeys(runs, -1)
    numbers, from_end = np.unique(of_run[::-1], return_index=True)
    found = dict(zip(numbers.tolist(), (len(of_run) - 1 - from_end).tolist(), strict=True))
    return last | {run: row for run, row in found.items() if run in last}


def _low(of_run: I32, last: dict[int, int], cut: int) -> list[int]:
    """The runs to load from: those used up by the cut, and, to sort seldom, those with little left.

    A run of one pending row has not begun, or will be asked for soon.
    """
    left = np.bincount(of_run, minlength=max(last) + 1)
    return [run for run, row in last.items() if row <= cut or 1 < left[run] < BATCH_ROWS // 2]
