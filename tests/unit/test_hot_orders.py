"""What the live tests of the compactor compare a history by."""

from __future__ import annotations

import polars as pl

from tests.hot_orders import PLACE, differing


def places(*pairs: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame(list(pairs), schema=PLACE, orient="row")


def test_a_history_that_has_each_change_once_is_equal_in_any_order() -> None:
    assert differing(places((0, 0), (0, 1), (1, 0)), places((1, 0), (0, 1), (0, 0))) == []
    assert differing(places(), places()) == []


def test_a_change_that_is_lost_doubled_or_made_up_is_told() -> None:
    told = differing(places((0, 0), (0, 1), (1, 0)), places((0, 0), (1, 0), (1, 0), (1, 7)))
    assert told == [
        "orders_changes: 1 lost: [(0, 1)]",
        "orders_changes: 1 made up: [(1, 7)]",
        "orders_changes: 2 there twice: [(1, 0), (1, 0)]",
    ]
