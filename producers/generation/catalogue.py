"""What is there before any order: places, categories, sellers, products."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from olist.contracts import Contract
from olist.tables import CATEGORY_TRANSLATIONS, GEOLOCATION, PRODUCTS, SELLERS
from producers.generation import shapes
from producers.generation.drawing import Kind, hex_ids, uniform
from producers.generation.frames import frame_of, null_where
from producers.generation.words import CATEGORIES, CITIES, CITY_WEIGHTS

CHUNK = 20_000
FIRST_PREFIX, PREFIX_STEP = 1001, 5  # the odd ones between are in no geolocation file


@dataclass(frozen=True)
class Sizes:
    """How many there are of what, from the number of orders."""

    seed: int
    orders: int

    @property
    def products(self) -> int:
        """Products for sale; about a third of the real ones are in no order."""
        return max(20, math.ceil(self.orders * shapes.PRODUCTS_PER_ORDER))

    @property
    def sellers(self) -> int:
        """Sellers."""
        return max(5, math.ceil(self.orders * shapes.SELLERS_PER_ORDER))

    @property
    def prefixes(self) -> int:
        """Zip prefixes that have a place; Brazil has no more."""
        return min(shapes.MOST_PREFIXES, max(50, math.ceil(self.orders * shapes.PREFIXES_PER_ORDER)))


Part = tuple[Contract, pl.DataFrame]


def catalogue(sizes: Sizes) -> Iterator[Part]:
    """The frames of the four tables, in chunks."""
    translated = [(name, english) for name, english in CATEGORIES if english is not None]
    names, english = zip(*translated, strict=True)
    yield (
        CATEGORY_TRANSLATIONS,
        frame_of(CATEGORY_TRANSLATIONS, product_category_name=names, product_category_name_english=english),
    )
    for first in range(0, sizes.prefixes, CHUNK):
        yield GEOLOCATION, _points(sizes, np.arange(first, min(first + CHUNK, sizes.prefixes)))
    for first in range(0, sizes.sellers, CHUNK):
        yield SELLERS, _sellers(sizes, np.arange(first, min(first + CHUNK, sizes.sellers)))
    for first in range(0, sizes.products, CHUNK):
        yield PRODUCTS, _products(sizes, np.arange(first, min(first + CHUNK, sizes.products)))


def zip_of(prefixes: NDArray[np.int64], strangers: NDArray[np.bool_]) -> list[str]:
    """Five digits with their leading zeros; a stranger's is in no geolocation file."""
    return [f"{number:05d}" for number in (FIRST_PREFIX + PREFIX_STEP * prefixes + strangers).tolist()]


def place_of(seed: int, prefixes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which of `CITIES` a prefix lies in."""
    edges = np.cumsum(CITY_WEIGHTS) / sum(CITY_WEIGHTS)
    return np.searchsorted(edges, uniform(seed, Kind.PLACE, prefixes), side="right")


def _points(sizes: Sizes, prefixes: NDArray[np.int64]) -> pl.DataFrame:
    rng = np.random.default_rng([sizes.seed, Kind.PLACE, int(prefixes[0])])
    counts = 1 + rng.poisson(shapes.POINTS_PER_PREFIX - 1, len(prefixes))
    of = np.repeat(prefixes, counts)
    centre = uniform(sizes.seed, Kind.PLACE, of)
    latitude, longitude = (
        -33 + 30 * centre + rng.normal(0, 0.01, len(of)),
        -53 + 17 * centre + rng.normal(0, 0.01, len(of)),
    )
    plain = rng.random(len(of)) < 0.8
    names = [
        CITIES[city][1 if p else 0] for city, p in zip(place_of(sizes.seed, of).tolist(), plain.tolist(), strict=True)
    ]
    points = frame_of(
        GEOLOCATION,
        geolocation_zip_code_prefix=zip_of(of, np.zeros(len(of), dtype=np.bool_)),
        geolocation_lat=latitude,
        geolocation_lng=longitude,
        geolocation_city=names,
        geolocation_state=states(sizes.seed, of),
    )
    repeated = rng.choice(points.height, int(points.height * shapes.REPEATED_POINTS / (1 - shapes.REPEATED_POINTS)))
    return pl.concat([points, points[np.sort(repeated)]])


def _sellers(sizes: Sizes, numbers: NDArray[np.int64]) -> pl.DataFrame:
    rng = np.random.default_rng([sizes.seed, Kind.SELLER, int(numbers[0])])
    prefixes = rng.integers(0, sizes.prefixes, len(numbers))
    return frame_of(
        SELLERS,
        seller_id=hex_ids(sizes.seed, Kind.SELLER, numbers),
        seller_zip_code_prefix=zip_of(prefixes, rng.random(len(numbers)) < shapes.ZIP_NOT_IN_GEOLOCATION),
        seller_city=cities(sizes.seed, prefixes),
        seller_state=states(sizes.seed, prefixes),
    )


def _products(sizes: Sizes, numbers: NDArray[np.int64]) -> pl.DataFrame:
    rng = np.random.default_rng([sizes.seed, Kind.PRODUCT, int(numbers[0])])
    count = len(numbers)
    unnamed = rng.random(count) < shapes.PRODUCT_WITHOUT_CATEGORY
    unsized = rng.random(count) < shapes.PRODUCT_WITHOUT_SIZE
    popularity = rng.random(count) ** 1.5
    names = np.array([name for name, _english in CATEGORIES])

    def whole(median: float, spread: float, absent: NDArray[np.bool_], low: int, high: int) -> pl.Series:
        drawn = np.clip(np.exp(rng.normal(math.log(median), spread, count)), low, high)
        return null_where(drawn.astype(np.int64), absent)

    return frame_of(
        PRODUCTS,
        product_id=hex_ids(sizes.seed, Kind.PRODUCT, numbers),
        product_category_name=null_where(names[(popularity * len(names)).astype(np.int64)], unnamed),
        product_name_lenght=whole(50, 0.2, unnamed, 5, 76),
        product_description_lenght=whole(595, 0.8, unnamed, 4, 3992),
        product_photos_qty=whole(1.7, 0.6, unnamed, 1, 20),
        product_weight_g=whole(700, 1.3, unsized, 0, 40_425),
        product_length_cm=whole(25, 0.45, unsized, 7, 105),
        product_height_cm=whole(13, 0.7, unsized, 2, 105),
        product_width_cm=whole(20, 0.45, unsized, 6, 118),
    )


def cities(seed: int, prefixes: NDArray[np.int64]) -> list[str]:
    """The city's name as sellers and customers spell it: without accents."""
    return [CITIES[city][1] for city in place_of(seed, prefixes).tolist()]


def states(seed: int, prefixes: NDArray[np.int64]) -> list[str]:
    """The state's two letters."""
    return [CITIES[city][2] for city in place_of(seed, prefixes).tolist()]
