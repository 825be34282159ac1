"""From a table's files and their deletes to groups worth rewriting. Pure: it gets values and returns values.

The rules are those of Iceberg's bin-pack rewrite, partition by partition, with one addition: groups are tiers of
similar size (see `Thresholds.tier_ratio`), since a plan that takes every small file would rewrite the large ones among
them with each run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol, TypeVar

from compaction.options import Thresholds


@dataclass(frozen=True)
class DataFileStats:
    """A live data file. `deleted` of its `rows` are deleted, by `delete_files` delete files. `size` in bytes."""

    path: str
    partition: Hashable
    size: int
    rows: int
    deleted: int = 0
    delete_files: int = 0


@dataclass(frozen=True)
class DeleteFileStats:
    """A live delete file. `live` of its `rows` refer to data files that are still there. `size` in bytes."""

    path: str
    partition: Hashable
    size: int
    rows: int
    live: int


@dataclass(frozen=True)
class Group:
    """Data files of one lake partition that become fewer."""

    partition: Hashable
    files: tuple[DataFileStats, ...]

    @property
    def size(self) -> int:
        """Bytes to read."""
        return sum(file.size for file in self.files)

    @property
    def rows(self) -> int:
        """Rows to read, deleted ones too."""
        return sum(file.rows for file in self.files)

    @property
    def profit(self) -> float:
        """Files and deleted rows (ten thousand count as a file) that go away per megabyte read."""
        gone = len(self.files) - 1 + sum(file.deleted for file in self.files) / 10_000
        return gone / max(self.size / (1 << 20), 1.0)


@dataclass(frozen=True)
class DeleteGroup:
    """Delete files of one lake partition that become one, or none where nothing live refers to them."""

    partition: Hashable
    files: tuple[DeleteFileStats, ...]

    @property
    def rows(self) -> int:
        """Deleted rows to read and write; none of a file that nothing refers to."""
        return sum(file.rows for file in self.files if file.live)


class _Sized(Protocol):
    @property
    def size(self) -> int: ...

    @property
    def partition(self) -> Hashable: ...


S = TypeVar("S", bound=_Sized)


def plan(files: Iterable[DataFileStats], limits: Thresholds) -> list[Group]:
    """Groups of data files, the most profitable first, together at most ``limits.max_run`` bytes (but one at least)."""
    groups = [
        Group(partition, tuple(bin_))
        for partition, there in _by_partition(files).items()
        for chosen in _worthwhile(there, limits)
        for bin_ in _bins(chosen, limits.max_file_group_size, lambda file: max(file.size, file.rows * limits.row_size))
        if len(bin_) > 1 or _is_worth_it(bin_[0], limits)
    ]
    groups.sort(key=lambda group: (-group.profit, str(group.partition), group.files[0].path))
    return list(_affordable(groups, limits.max_run))


def plan_deletes(files: Iterable[DeleteFileStats], limits: Thresholds) -> list[DeleteGroup]:
    """Groups of delete files: those that nothing refers to, and enough small ones of one partition.

    A group deletes at most ``limits.max_delete_rows`` rows, those of files that nothing refers to not counted.
    """
    groups = []
    for partition, there in _by_partition(files).items():
        if dangling := [file for file in there if not file.live]:
            groups.append(DeleteGroup(partition, tuple(dangling)))
        for tier in _tiers([file for file in there if file.live], limits):
            bins = _bins(tier, limits.max_delete_rows, lambda file: file.rows)
            groups += [DeleteGroup(partition, tuple(bin_)) for bin_ in bins if len(bin_) >= limits.min_delete_files]
    return groups


def together(groups: Sequence[DeleteGroup], most_rows: int) -> list[DeleteGroup]:
    """The first groups, one at least, that delete at most so many rows together."""
    rows = list(accumulate(group.rows for group in groups))
    return list(groups[: max(1, sum(total <= most_rows for total in rows))])


def _by_partition(files: Iterable[S]) -> Mapping[Hashable, list[S]]:
    found: dict[Hashable, list[S]] = defaultdict(list)
    for file in files:
        found[file.partition].append(file)
    return found


def _worthwhile(files: Sequence[DataFileStats], limits: Thresholds) -> Iterator[list[DataFileStats]]:
    """Tiers of small files where there are enough, and all other files that are worth rewriting by themselves."""
    alone = [file for file in files if file.size >= limits.min_file_size and _is_worth_it(file, limits)]
    for tier in _tiers([file for file in files if file.size < limits.min_file_size], limits):
        enough_content = len(tier) > 1 and sum(file.size for file in tier) > limits.target_file_size
        if len(tier) >= limits.min_input_files or enough_content:
            yield tier
        else:
            alone += [file for file in tier if _is_worth_it(file, limits)]
    if alone:
        yield alone


def _tiers(files: Sequence[S], limits: Thresholds) -> Iterator[list[S]]:
    """The files from small to large, cut before each that is much larger than its tier so far."""
    tier: list[S] = []
    total = 0
    for file in sorted(files, key=lambda file: file.size):
        if tier and file.size > max(limits.tier_floor, limits.tier_ratio * total):
            yield tier
            tier, total = [], 0
        tier.append(file)
        total += file.size
    if tier:
        yield tier


def _bins(files: Sequence[S], most: int, weight: Callable[[S], int]) -> Iterator[list[S]]:
    """Files in order, cut so that each bin weighs at most `most` (but one file at least)."""
    bin_: list[S] = []
    total = 0
    for file in files:
        if bin_ and total + weight(file) > most:
            yield bin_
            bin_, total = [], 0
        bin_.append(file)
        total += weight(file)
    if bin_:
        yield bin_


def _is_worth_it(file: DataFileStats, limits: Thresholds) -> bool:
    return _is_too_large(file, limits) or _has_many_deletes(file, limits)


def _is_too_large(file: DataFileStats, limits: Thresholds) -> bool:
    return file.size > limits.max_file_size


def _has_many_deletes(file: DataFileStats, limits: Thresholds) -> bool:
    ratio = file.deleted / max(file.rows, 1)
    return file.delete_files >= limits.delete_files_per_file or (file.deleted > 0 and ratio >= limits.delete_ratio)


def _affordable(groups: Iterable[Group], most: int) -> Iterator[Group]:
    spent = 0
    for group in groups:
        if spent and spent + group.size > most:
            continue
        spent += group.size
        yield group
