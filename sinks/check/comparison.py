"""A target's entries against the topic's, bucket by bucket. Pure: what was read is an argument.

What a target should hold is, per key, the topic's last change below the target's own positions that the target takes:
not one that no reader takes, nor one that this target refused. Where Kafka's cleaner has removed that change, because a
newer one of the key is on the topic, nothing can be said of the key, and it is counted as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from sinks.check.digest import Digest, digest_of
from sinks.check.entries import DELETE, HASH, KEY, PLACE, UNDECODABLE

Kind = Literal["missing", "extra", "different", "doubled"]
KINDS: tuple[Kind, ...] = ("doubled", "missing", "extra", "different")

MOST_PLACES = 100

TRACE = [*PLACE, "committed"]
EXPECTED = "_expected"


@dataclass(frozen=True)
class View:
    """What of a topic a target should hold: all below `end` per partition, but what is flagged.

    Rows of a target that is no `snapshot` may be newer than its positions. `traced` says that its rows tell where they
    came from. Per partition nothing below `whole` was cleaned away, and everything below `first` was removed.
    """

    end: Mapping[int, int]
    refused: int = 0  # the flag of what this target refused
    snapshot: bool = True
    traced: bool = True
    whole: Mapping[int, int] = field(default_factory=dict)
    first: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Differing:
    """A key that differs: its fingerprint, where its expected change stands and where its row came from, if any."""

    kind: Kind
    key: tuple[int, int]
    expected_at: tuple[int, int] | None
    found_at: tuple[int, int] | None
    rows: int = 1


@dataclass
class Comparison:
    """What the comparison of all buckets found; rows that cannot be judged are in neither digest."""

    expected: Digest = field(default_factory=Digest)
    found: Digest = field(default_factory=Digest)
    counts: Counter[str] = field(default_factory=Counter)  # differing keys
    first: list[Differing] = field(default_factory=list)
    ahead: int = 0  # rows newer than the positions, that are the topic's all the same
    unjudged: int = 0  # keys of which the topic no longer says what this target should hold
    refused_rows: int = 0  # keys whose last change was refused
    refused_at: list[tuple[int, int]] = field(default_factory=list)  # the first refused records, by place

    def differ(self, kind: Kind, keys: pl.DataFrame, most: int) -> None:
        """Note keys that differ; `keys` has their fingerprints and places."""
        if keys.is_empty():
            return
        self.counts[kind] += keys.height
        room = most - sum(one.kind == kind for one in self.first)
        for row in keys.sort("offset_at").head(max(0, room)).iter_rows(named=True):
            self.first.append(_differing(kind, row))


def compare(topic: pl.DataFrame, found: pl.DataFrame, view: View, into: Comparison, most: int = 0) -> None:
    """Compare one bucket and add what it shows; `most` differing keys of each kind are noted."""
    topic = topic.sort("offset")
    standing = in_view(topic, found, view)
    _count_refused(standing, into)
    latest = standing.filter(pl.col("taken")).unique(KEY, keep="last")
    expected = latest.filter(pl.col("op") != DELETE)
    same = [*KEY, *HASH, *(TRACE if view.traced else [])]
    equal = expected.join(found, on=same, how="semi")
    into.unjudged += _unknown_absent(standing, found, view)
    if not (equal.height == expected.height == found.height):
        wrong_expected, wrong = expected.join(equal, on=KEY, how="anti"), found.join(equal, on=same, how="anti")
        doubled = _doubled(found)
        if not view.snapshot:
            wrong_expected, wrong, into.ahead = _without_ahead(topic, wrong_expected, wrong, view, into.ahead)
        unjudged = _unjudged(topic, wrong, wrong_expected, standing, view)
        into.unjudged += unjudged.height
        found = found.join(unjudged, on=KEY, how="anti")
        wrong = wrong.join(unjudged, on=KEY, how="anti")
        _note(wrong_expected, wrong, doubled, into, most)
    into.expected += digest_of(expected)
    into.found += digest_of(found)


def below(ends: Mapping[int, int]) -> pl.Expr:
    """Whether an entry stands below the ends by partition."""
    return pl.col("offset") < pl.col("partition").replace_strict(dict(ends), default=0, return_dtype=pl.Int64)


def in_view(topic: pl.DataFrame, found: pl.DataFrame, view: View) -> pl.DataFrame:
    """The changes below the view's end, with ``refused`` and ``taken``.

    A letter outlives a rebuild that then took the record; a row that names the letter's place proves that it was taken.
    """
    standing = topic.filter(below(view.end)).with_columns(refused=(pl.col("flags") & view.refused) > 0)
    if view.refused and standing["refused"].any():
        held = found.select(*KEY, *PLACE).unique().with_columns(held=pl.lit(True))
        standing = standing.join(held, on=[*KEY, *PLACE], how="left", maintain_order="left")
        standing = standing.with_columns(refused=pl.col("refused") & pl.col("held").is_null()).drop("held")
    undecodable = (pl.col("flags") & UNDECODABLE) > 0
    return standing.with_columns(taken=~(pl.col("refused") | undecodable), undecodable=undecodable)


def _count_refused(standing: pl.DataFrame, into: Comparison) -> None:
    bad = standing.filter(~pl.col("taken"))
    if bad.is_empty():
        return
    last = standing.unique(KEY, keep="last")
    into.refused_rows += last.filter(~pl.col("taken")).height
    room = max(0, MOST_PLACES - len(into.refused_at))
    into.refused_at += bad.filter("refused").select(PLACE).head(room).iter_rows()


def _doubled(found: pl.DataFrame) -> pl.DataFrame:
    return (
        found.group_by(KEY)
        .agg(pl.len().alias("rows"), *(pl.col(name).max() for name in PLACE))
        .filter(pl.col("rows") > 1)
    )


def _without_ahead(
    topic: pl.DataFrame, expected: pl.DataFrame, wrong: pl.DataFrame, view: View, ahead: int
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Less the rows that are exactly a later change of their key: the target is ahead of its positions there.

    So a row that was altered, lost or never written is told even while the target is being written.
    """
    later = topic.filter(~below(view.end) & (pl.col("flags") & (view.refused | UNDECODABLE) == 0))
    upserts, deletes = later.filter(pl.col("op") != DELETE), later.filter(pl.col("op") == DELETE)
    rows = wrong.join(upserts, on=[*KEY, *HASH, *TRACE], how="semi")
    gone = expected.join(wrong, on=KEY, how="anti").join(deletes, on=KEY, how="semi")
    excused = pl.concat([rows.select(KEY), gone.select(KEY)]).unique()
    return (
        expected.join(excused, on=KEY, how="anti"),
        wrong.join(rows, on=[*KEY, *HASH, *TRACE], how="anti"),
        ahead + excused.height,
    )


def _unjudged(
    topic: pl.DataFrame, wrong: pl.DataFrame, expected: pl.DataFrame, standing: pl.DataFrame, view: View
) -> pl.DataFrame:
    """Keys whose row may rightly be there though the topic has it no more.

    The cleaner keeps the last change of a key. So the row's own change can only be gone where a newer one of the key is
    on the topic: one that this target does not take, or has not read yet. What retention and ``DeleteRecords`` removed
    is gone whether anything replaced it or not.
    """
    odd = wrong.join(expected, on=KEY, how="anti").join(standing.filter(pl.col("taken")), on=KEY, how="anti")
    if not view.traced or odd.is_empty():
        return odd.select(KEY).clear()
    odd = odd.filter(below(view.end) & ~below(view.whole)).join(topic, on=[*KEY, *PLACE], how="anti")
    newer = odd.join(topic.select(*KEY, "partition", at="offset"), on=[*KEY, "partition"])
    cleaned, removed = newer.filter(pl.col("at") > pl.col("offset")), odd.filter(below(view.first))
    return pl.concat([cleaned.select(KEY), removed.select(KEY)]).unique()


def _unknown_absent(standing: pl.DataFrame, found: pl.DataFrame, view: View) -> int:
    """Keys without a row, of which the topic has only changes that this target does not take."""
    refused = standing.filter(~pl.col("taken"))
    if refused.is_empty():
        return 0
    taken = standing.filter(pl.col("taken"))
    alone = refused.join(taken, on=KEY, how="anti").join(found, on=KEY, how="anti").filter(~below(view.whole))
    return alone.unique(KEY).height


def _note(expected: pl.DataFrame, wrong: pl.DataFrame, doubled: pl.DataFrame, into: Comparison, most: int) -> None:
    twice = placed(doubled, found=True).with_columns(rows=doubled["rows"])
    into.differ("doubled", twice, most)
    expected, wrong = expected.join(doubled, on=KEY, how="anti"), wrong.join(doubled, on=KEY, how="anti")
    into.differ("missing", placed(expected.join(wrong, on=KEY, how="anti"), expected=True), most)
    into.differ("extra", placed(wrong.join(expected, on=KEY, how="anti"), found=True), most)
    both = expected.join(wrong, on=KEY, suffix="_found")
    into.differ("different", placed(both, expected=True, found=True, suffix="_found"), most)


def placed(keys: pl.DataFrame, *, expected: bool = False, found: bool = False, suffix: str = "") -> pl.DataFrame:
    """Fingerprints with the places of the expected and of the found row, where there are such."""
    nothing = pl.lit(None, dtype=pl.Int64)
    columns = [*(pl.col(name) for name in KEY), pl.col("offset").alias("offset_at")]
    for name, there, ending in (("expected", expected, ""), ("found", found, suffix)):
        for part in PLACE:
            value = pl.col(part + ending).cast(pl.Int64) if there else nothing
            columns.append(value.alias(f"{name}_{part}"))
    return keys.select(columns)


def _differing(kind: Kind, row: dict[str, int | None]) -> Differing:
    def place(name: str) -> tuple[int, int] | None:
        partition, offset = row[f"{name}_partition"], row[f"{name}_offset"]
        return None if partition is None or offset is None else (partition, offset)

    return Differing(kind, (row["k0"] or 0, row["k1"] or 0), place("expected"), place("found"), row.get("rows") or 1)
