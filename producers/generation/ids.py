"""Identifiers and fixed traits by number: the n-th product is the same wherever it is mentioned, and kept nowhere."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

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
