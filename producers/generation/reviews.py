"""What people say of their orders."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from olist.tables import ORDER_REVIEWS
from producers.generation import shapes
from producers.generation.drawing import MICROS_PER_DAY, MICROS_PER_SECOND, Kind, hex_ids, lognormal, midnight
from producers.generation.frames import frame_of
from producers.generation.words import BLANKS, EMOJI, NUMBERS, PHRASES, TITLES

MOST_REVIEWS_PER_ORDER = 3
HOUR_US = 3_600_000_000


def reviews_of(
    seed: int,
    rng: np.random.Generator,
    first: int,
    order_ids: list[str],
    purchased: NDArray[np.int64],
    delivered: NDArray[np.int64],
    late: NDArray[np.bool_],
) -> pl.DataFrame:
    """The reviews of a chunk of orders, the first of which has the number `first`."""
    counts = rng.choice(len(shapes.REVIEWS), len(order_ids), p=shapes.REVIEWS)
    of = np.repeat(np.arange(len(order_ids)), counts)
    nth = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    created = _created(rng, purchased[of], delivered[of])
    scores = np.where(
        late[of],
        rng.choice(5, len(of), p=shapes.SCORES_LATE),
        rng.choice(5, len(of), p=shapes.SCORES_IN_TIME),
    )
    answer_days = lognormal(rng, shapes.ANSWER_DAYS, shapes.ANSWER_SPREAD, len(of))
    # A shared review is the one before it, under another order: same id, same words.
    shared = (rng.random(len(of)) < shapes.SHARED_REVIEW) & (nth == 0) & (np.arange(len(of)) > 0)
    shared[1:] &= ~shared[:-1]
    said_in = np.arange(len(of)) - shared
    texts = pl.DataFrame({"title": titles(rng, len(of)), "message": messages(rng, len(of))}, schema_overrides=_TEXT)
    return frame_of(
        ORDER_REVIEWS,
        review_id=pl.Series(hex_ids(seed, Kind.REVIEW, (first + of) * MOST_REVIEWS_PER_ORDER + nth))[said_in],
        order_id=pl.Series(order_ids)[of],
        review_score=scores[said_in] + 1,
        review_comment_title=texts["title"][said_in],
        review_comment_message=texts["message"][said_in],
        review_creation_date=created[said_in],
        review_answer_timestamp=_to_second(created + (answer_days * MICROS_PER_DAY).astype(np.int64))[said_in],
    )


_TEXT = {"title": pl.String, "message": pl.String}


def titles(rng: np.random.Generator, count: int) -> list[str | None]:
    """Mostly none; a few are numbers, which type inference would fall for."""
    draws = rng.random((count, 2))
    return [
        None if none < shapes.NO_TITLE else (NUMBERS if kind < shapes.NUMBER_AS_TITLE else TITLES)[pick]
        for (none, kind), pick in zip(draws.tolist(), rng.integers(0, len(NUMBERS), count).tolist(), strict=True)
    ]


def messages(rng: np.random.Generator, count: int) -> list[str | None]:
    """Some phrases in a row, with what makes a CSV reader trip: CRLF, quotes, commas, emoji, nothing but blanks."""
    said = rng.random(count) >= shapes.NO_MESSAGE
    draws = rng.random((count, 5)).tolist()
    picks = rng.integers(0, len(PHRASES), (count, 5)).tolist()
    return [
        _message(draw, pick) if here else None for here, draw, pick in zip(said.tolist(), draws, picks, strict=True)
    ]


def _message(draw: list[float], pick: list[int]) -> str:
    blank, line_break, quotes, emoji, comma = draw
    if blank < shapes.BLANK_MESSAGE:
        return BLANKS[pick[0] % len(BLANKS)]
    phrases = [PHRASES[number] for number in pick[: 1 + pick[0] % 5]]
    if quotes < shapes.QUOTES:
        phrases[-1] = f'"{phrases[-1]}"'
    if emoji < shapes.EMOJI:
        phrases[-1] += f" {EMOJI[pick[1] % len(EMOJI)]}"
    if line_break < shapes.CRLF:
        return ",\r\n".join(phrases) + ("\r\n" if len(phrases) == 1 else ".")
    return (", " if comma < shapes.COMMA / 0.8 else ". ").join(phrases)


def _created(rng: np.random.Generator, purchased: NDArray[np.int64], delivered: NDArray[np.int64]) -> NDArray[np.int64]:
    """Midnight after the delivery; sometimes long before it, and for a few even before the purchase."""
    chance = rng.random(len(purchased))
    early = rng.integers(1, 15, len(purchased)) * MICROS_PER_DAY
    asked = midnight(delivered) + MICROS_PER_DAY
    asked = np.where(
        chance < shapes.REVIEW_BEFORE_DELIVERY, np.maximum(asked - early, midnight(purchased) + MICROS_PER_DAY), asked
    )
    asked = np.where(chance < shapes.REVIEW_BEFORE_PURCHASE, midnight(purchased) - early, asked)
    return asked + (rng.random(len(asked)) < shapes.REVIEW_IN_SUMMER_TIME) * HOUR_US


def _to_second(times: NDArray[np.int64]) -> NDArray[np.int64]:
    return times - times % MICROS_PER_SECOND
