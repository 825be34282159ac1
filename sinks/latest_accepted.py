"""The last change of each key that a target accepts, found without sending a whole batch again for each refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import polars as pl

from sinks.base import Refusal

ROW = "_row"

# Offers rows of the frame to the target; returns those that it refuses, by `ROW`.
Send = Callable[[pl.DataFrame], Iterable[Refusal]]


def send_latest(
    frame: pl.DataFrame, key: Sequence[str], refused: Iterable[Refusal], send: Send, probe: Send
) -> dict[int, Refusal]:
    """Send the last change of each key that is not refused; return the refusals by row.

    A refused change does not hide the one before it of the same key: the newest that the target accepts is sent
    instead. Of n refusals each key's changes before a refused one are offered in steps that double, so that all in all
    about as many rows again are offered as are refused.

    Args:
        frame: the changes in order, numbered by `ROW`.
        key: the columns of the key.
        refused: known before anything is sent.
        send: takes one change per key, for good.
        probe: takes any number per key, without harm to what was sent or will be.
    """
    found = {refusal.row: refusal for refusal in refused}
    changes = _without(frame, found)
    latest = _last_per_key(changes, key)
    while latest.height and (culprits := {refusal.row: refusal for refusal in send(latest)}):
        found |= culprits
        of_culprits = latest.filter(pl.col(ROW).is_in(list(culprits))).select(key)
        behind = _without(changes.join(of_culprits, on=key, how="semi", maintain_order="left"), found)
        latest = _before_refused(behind, key, found, probe)
    return found


def latest_accepted(frame: pl.DataFrame, key: Sequence[str], refused: Iterable[int]) -> pl.DataFrame:
    """The last change of each key that is not refused."""
    return _last_per_key(_without(frame, refused), key)


def _before_refused(behind: pl.DataFrame, key: Sequence[str], found: dict[int, Refusal], probe: Send) -> pl.DataFrame:
    """Of each key the newest change that the target accepts; those refused after it are added to `found`."""
    latest, depth = [behind.clear()], 1
    while behind.height:
        window = behind.group_by(key, maintain_order=True).tail(depth).select(behind.columns)
        refused = {refusal.row: refusal for refusal in probe(window)}
        good = _last_per_key(_without(window, refused), key)
        latest.append(good)
        newest = good.select(*key, pl.col(ROW).alias("_good"))
        after = window.join(newest, on=key, how="left").filter(
            pl.col("_good").is_null() | (pl.col(ROW) > pl.col("_good"))
        )
        found |= {row: refused[row] for row in after[ROW]}
        behind = _without(behind, window[ROW]).join(newest, on=key, how="anti", maintain_order="left")
        depth *= 2
    return pl.concat(latest)


def _without(frame: pl.DataFrame, rows: Iterable[int]) -> pl.DataFrame:
    numbers = list(rows)
    return frame.filter(~pl.col(ROW).is_in(numbers)) if numbers else frame


def _last_per_key(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    return frame.unique(subset=key, keep="last", maintain_order=True)
