"""A history's entries against the topic's changes, bucket by bucket. Pure.

A history holds every change once; a tombstone is one only where it deletes a row, and not behind a delete that has. It
may hold changes that the topic has no more: Kafka's cleaner keeps the last one of a key. It may not lack, alter or
double one that the topic still has below the history's own positions. One that was written before the contract had a
column stays without it, and whether that is why it lacks the value nobody can tell.
"""

from __future__ import annotations

import polars as pl

from sinks.check.comparison import Comparison, View, below, in_view, placed
from sinks.check.digest import digest_of
from sinks.check.entries import DELETE, HASH, KEY, PLACE, TOMBSTONE

CHANGE = [*KEY, *PLACE]
SAME = [*CHANGE, *HASH, "op", "committed"]


def compare_history(
    topic: pl.DataFrame,
    found: pl.DataFrame,
    view: View,
    into: Comparison,
    most: int = 0,
    early: pl.DataFrame | None = None,
) -> None:
    """Compare one bucket and add what it shows. The digests are those of the changes that topic and history share.

    `early` has changes of the topic less the columns that the history got later: one that is there so is not judged.
    """
    changes = in_view(topic.sort("offset"), found, view).filter("taken")
    places = found.group_by(CHANGE).agg(pl.len().alias("rows"))
    doubled = places.filter(pl.col("rows") > 1)
    equal = changes.join(found, on=SAME, how="semi")
    lacking = changes.filter(_must_be_there()).join(places, on=CHANGE, how="anti")
    there = changes.join(places, on=CHANGE, how="semi")
    if early is not None:
        unjudged = early.join(found, on=SAME, how="semi").join(equal, on=CHANGE, how="anti")
        into.unjudged += unjudged.height
        there, found = (one.join(unjudged, on=CHANGE, how="anti") for one in (there, found))
    never = places.join(changes, on=CHANGE, how="anti").filter(below(view.whole) | ~below(view.end))
    into.differ("doubled", placed(doubled, found=True).with_columns(rows=doubled["rows"]), most)
    into.differ("missing", placed(lacking, expected=True), most)
    into.differ("different", placed(there.join(equal, on=CHANGE, how="anti"), expected=True, found=True), most)
    into.differ("extra", placed(never, found=True), most)
    into.expected += digest_of(pl.concat([there, lacking]))
    into.found += digest_of(found.join(changes, on=CHANGE, how="semi"))


def _must_be_there() -> pl.Expr:
    """Not a tombstone behind a delete, nor one whose key's change before it is gone from the topic.

    Versions that wrote those as changes have left them in the histories: there they may be.
    """
    before = pl.col("op").shift(1).over(KEY)
    return (pl.col("flags") & TOMBSTONE == 0) | (before != DELETE).fill_null(value=False)
