"""When an order is placed, approved, handed over and delivered, and when it was promised for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from producers.generation import shapes
from producers.generation.drawing import (
    MICROS_PER_DAY,
    MICROS_PER_SECOND,
    Bools,
    Ints,
    after,
    lognormal,
    midnight,
    shares,
)


@dataclass(frozen=True)
class Dates:
    """When things happened to each order, as if every step had; a status then leaves some out."""

    purchased: Ints
    approved: Ints
    handed_over: Ints
    delivered: Ints
    estimated: Ints
    late: Bools


def draw_dates(rng: np.random.Generator, count: int) -> Dates:
    """Dates that contradict each other as often as the real ones do."""
    day = shapes.FIRST_DAY + np.floor(shapes.DAYS * rng.random(count) ** shapes.GROWTH).astype(np.int64)
    hour = rng.choice(24, count, p=shares(shapes.HOURS))
    purchased = ((day * 24 + hour) * 3600 + rng.integers(0, 3600, count)) * MICROS_PER_SECOND
    chance = rng.random(count)
    soon, slow = lognormal(rng, 0.3 / 24, 0.4, count), lognormal(rng, 1.1, 0.5, count)
    wait = np.where(chance < shapes.APPROVED_AT_ONCE, 0, np.where(chance < shapes.APPROVED_SOON, soon, slow))
    approved = after(purchased, wait)
    handover = lognormal(rng, shapes.HANDOVER_DAYS, shapes.HANDOVER_SPREAD, count)
    chance, backward = rng.random(count), rng.random(count)
    handed_over = after(
        approved, np.where(chance < shapes.HANDOVER_BEFORE_APPROVAL, -np.minimum(backward, wait), handover)
    )
    handed_over = np.where(chance < shapes.HANDOVER_BEFORE_PURCHASE, after(purchased, -backward), handed_over)
    travel = lognormal(rng, shapes.DELIVERY_DAYS, shapes.DELIVERY_SPREAD, count)
    delivered = after(np.maximum(handed_over, purchased), travel)
    late = rng.random(count) < shapes.LATE
    early_days = 1 + lognormal(rng, shapes.EARLY_DAYS, shapes.EARLY_SPREAD, count).astype(np.int64)
    late_days = rng.geometric(0.15, count) - 1
    promised = midnight(delivered) + np.where(late, -late_days, early_days) * MICROS_PER_DAY
    estimated = np.maximum(promised, midnight(purchased) + MICROS_PER_DAY)
    return Dates(purchased, approved, handed_over, delivered, estimated, late)
