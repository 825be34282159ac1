"""Random columns of the kinds that the data set is made of, and identifiers and fixed traits by number.

The generator of random numbers is an argument. The n-th product is the same wherever it is mentioned, and kept nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import IntEnum

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


HEX_DIGITS = 32
STEP, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Kind(IntEnum):
    """What a number counts; equal numbers of two kinds have nothing in common."""

    CUSTOMER = 1
    PERSON = 2
    SELLER = 3
    PRODUCT = 4
    ORDER = 5
    REVIEW = 6
    PRICE = 7
    PRODUCT_SELLER = 8
    PLACE = 9


def mixed(seed: int, kind: Kind, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 well-mixed bits per number: splitmix64 (Steele, Lea, Flood 2014). Overflow is the algorithm."""
    with np.errstate(over="ignore"):
        start = _mix(np.uint64(seed) + STEP * np.uint64(kind))
        return _mix(start + STEP * (numbers.astype(np.uint64) + np.uint64(1)))


def uniform(seed: int, kind: Kind, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """A fixed number in [0, 1) per number."""
    return (mixed(seed, kind, numbers) >> np.uint64(11)).astype(np.float64) / 2**53


def hex_ids(seed: int, kind: Kind, numbers: NDArray[np.int64]) -> list[str]:
    """32 hex digits per number, as the real identifiers have."""
    high = mixed(seed, kind, numbers)
    both = np.column_stack([high, _mix(high ^ SECOND)]).astype(">u8")
    text = both.tobytes().hex()
    return [text[at : at + HEX_DIGITS] for at in range(0, len(text), HEX_DIGITS)]


def _mix(value: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        value = (value ^ (value >> np.uint64(30))) * FIRST
        value = (value ^ (value >> np.uint64(27))) * SECOND
        return np.asarray(value ^ (value >> np.uint64(31)))
