"""Random columns of the kinds that the data set is made of; the generator of random numbers is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

MICROS_PER_SECOND = 1_000_000
MICROS_PER_DAY = 86_400 * MICROS_PER_SECOND

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def lognormal(rng: np.random.Generator, median: float, spread: float, count: int) -> NDArray[np.float64]:
    """Positive numbers around a median; `spread` is the deviation of their logarithm."""
    return np.exp(rng.normal(math.log(median), spread, count))


def shares(weights: Sequence[float]) -> NDArray[np.float64]:
    """Weights as probabilities."""
    return np.asarray(weights, dtype=np.float64) / sum(weights)


def absent(
    rng: np.random.Generator, status: NDArray[np.str_], by_status: Mapping[str, float], otherwise: float = 1.0
) -> Bools:
    """Which orders lack something, by the share of their status."""
    chance = np.full(len(status), otherwise)
    for name, share in by_status.items():
        chance[status == name] = share
    return rng.random(len(status)) < chance


def count_up(counts: Ints) -> Ints:
    """0, 1, 2, ... within each group of the given sizes."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def after(times: Ints, days: NDArray[np.float64]) -> Ints:
    """Some days later, to the second."""
    return times + np.round(days * 86_400).astype(np.int64) * MICROS_PER_SECOND


def midnight(times: Ints) -> Ints:
    """The start of the day."""
    return times - times % MICROS_PER_DAY
