"""A chunk of orders with their customers, items, payments and reviews."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from olist.contracts import Contract
from olist.order_status import DELIVERED
from olist.tables import CUSTOMERS, ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS, ORDERS
from producers.generation import shapes
from producers.generation.catalogue import Sizes, cities, states, zip_of
from producers.generation.drawing import (
    MICROS_PER_DAY,
    MICROS_PER_SECOND,
    Bools,
    Ints,
    Kind,
    absent,
    after,
    count_up,
    hex_ids,
    lognormal,
    midnight,
    shares,
    uniform,
)
from producers.generation.frames import frame_of, money, null_where
from producers.generation.reviews import reviews_of


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


POPULARITY = 2.0  # the exponent of a uniform number: a few products sell most


def orders_chunk(sizes: Sizes, first: int, count: int) -> dict[Contract, pl.DataFrame]:
    """Orders `first` to `first + count - 1` and all that belongs to them; a chunk is the same for the same bounds."""
    rng = np.random.default_rng([sizes.seed, Kind.ORDER, first])
    numbers = np.arange(first, first + count)
    order_ids = hex_ids(sizes.seed, Kind.ORDER, numbers)
    customer_ids = hex_ids(sizes.seed, Kind.CUSTOMER, numbers)
    status = rng.choice(list(shapes.STATUSES), count, p=shares(list(shapes.STATUSES.values())))
    dates = draw_dates(rng, count)
    items, totals = _items(sizes, rng, order_ids, status, dates)
    return {
        CUSTOMERS: _customers(sizes, rng, numbers, customer_ids),
        ORDERS: frame_of(
            ORDERS,
            order_id=order_ids,
            customer_id=customer_ids,
            order_status=status,
            order_purchase_timestamp=dates.purchased,
            order_approved_at=null_where(dates.approved, absent(rng, status, shapes.NO_APPROVAL, otherwise=0.0)),
            order_delivered_carrier_date=null_where(dates.handed_over, absent(rng, status, shapes.NO_HANDOVER)),
            order_delivered_customer_date=null_where(dates.delivered, absent(rng, status, shapes.NO_DELIVERY)),
            order_estimated_delivery_date=dates.estimated,
        ),
        ORDER_ITEMS: items,
        ORDER_PAYMENTS: _payments(rng, order_ids, status, totals),
        ORDER_REVIEWS: reviews_of(sizes.seed, rng, first, order_ids, dates.purchased, dates.delivered, dates.late),
    }


def _customers(sizes: Sizes, rng: np.random.Generator, numbers: Ints, customer_ids: list[str]) -> pl.DataFrame:
    again = rng.random(len(numbers)) < shapes.SAME_PERSON_AGAIN
    people = np.where(again, (rng.random(len(numbers)) * numbers).astype(np.int64), numbers)
    prefixes = (uniform(sizes.seed, Kind.PERSON, people) * sizes.prefixes).astype(np.int64)
    return frame_of(
        CUSTOMERS,
        customer_id=customer_ids,
        customer_unique_id=hex_ids(sizes.seed, Kind.PERSON, people),
        customer_zip_code_prefix=zip_of(prefixes, rng.random(len(numbers)) < shapes.ZIP_NOT_IN_GEOLOCATION),
        customer_city=cities(sizes.seed, prefixes),
        customer_state=states(sizes.seed, prefixes),
    )


def _items(
    sizes: Sizes, rng: np.random.Generator, order_ids: list[str], status: NDArray[np.str_], dates: Dates
) -> tuple[pl.DataFrame, Ints]:
    """The items, and each order's total in cents; an order without items has a total all the same."""
    counts = 1 + rng.choice(len(shapes.ITEMS), len(order_ids), p=shares(shapes.ITEMS))
    counts[absent(rng, status, shapes.NO_ITEMS, otherwise=0.0)] = 0
    of = np.repeat(np.arange(len(order_ids)), counts)
    nth = count_up(counts)
    products = (rng.random(len(of)) ** POPULARITY * sizes.products).astype(np.int64)
    same = (nth > 0) & (rng.random(len(of)) < shapes.SAME_PRODUCT_AGAIN)
    products = products[np.arange(len(of)) - np.where(same, nth, 0)]
    sellers = (uniform(sizes.seed, Kind.PRODUCT_SELLER, products) ** POPULARITY * sizes.sellers).astype(np.int64)
    prices = _price_cents(sizes.seed, products)
    freight = np.round(lognormal(rng, shapes.FREIGHT, shapes.FREIGHT_SPREAD, len(of)) * 100).astype(np.int64)
    freight[rng.random(len(of)) < shapes.NO_FREIGHT] = 0
    limit = lognormal(rng, shapes.SHIPPING_LIMIT_DAYS, shapes.SHIPPING_LIMIT_SPREAD, len(order_ids))
    items = frame_of(
        ORDER_ITEMS,
        order_id=pl.Series(order_ids)[of],
        order_item_id=nth + 1,
        product_id=hex_ids(sizes.seed, Kind.PRODUCT, products),
        seller_id=hex_ids(sizes.seed, Kind.SELLER, sellers),
        shipping_limit_date=after(dates.purchased, limit)[of],
        price=money(prices),
        freight_value=money(freight),
    )
    totals = np.bincount(of, weights=prices + freight, minlength=len(order_ids)).astype(np.int64)
    return items, np.where(counts == 0, rng.integers(1000, 50_000, len(order_ids)), totals)


def _payments(rng: np.random.Generator, order_ids: list[str], status: NDArray[np.str_], totals: Ints) -> pl.DataFrame:
    """An order's total in parts: a voucher or more beside the main payment."""
    counts = 1 + rng.choice(len(shapes.PAYMENTS), len(order_ids), p=shares(shapes.PAYMENTS))
    counts[(rng.random(len(order_ids)) < shapes.NO_PAYMENT) & (status == DELIVERED)] = 0
    of, nth = np.repeat(np.arange(len(order_ids)), counts), count_up(counts)
    starts_at = 1 + (rng.random(len(order_ids)) < shapes.NO_FIRST_PAYMENT)
    totals = totals + (rng.random(len(totals)) < shapes.UNEQUAL_TOTAL) * rng.integers(1, 300, len(totals))
    share = totals[of] // counts[of]
    cents = np.where(nth == 0, totals[of] - share * (counts[of] - 1), share)
    kinds = rng.choice(list(shapes.PAYMENT_TYPES), len(of), p=shares(list(shapes.PAYMENT_TYPES.values())))
    kinds = np.where(nth > 0, "voucher", kinds)
    cents[(rng.random(len(of)) < shapes.NOTHING_PAID) | (kinds == "not_defined")] = 0
    instalments = rng.choice(len(shapes.INSTALMENTS), len(of), p=shares(shapes.INSTALMENTS))
    return frame_of(
        ORDER_PAYMENTS,
        order_id=pl.Series(order_ids)[of],
        payment_sequential=starts_at[of] + nth,
        payment_type=kinds,
        payment_installments=np.where(kinds == "credit_card", instalments, 1),
        payment_value=money(cents),
    )


def _price_cents(seed: int, products: Ints) -> Ints:
    """A product's price, the same in every order: log-normal, from two fixed uniform numbers (Box and Muller)."""
    radius = np.sqrt(-2 * np.log1p(-uniform(seed, Kind.PRICE, products)))
    normal = radius * np.cos(2 * math.pi * uniform(seed, Kind.PRICE, products + 2**40))
    prices = np.clip(shapes.PRICE * np.exp(shapes.PRICE_SPREAD * normal), 0.85, 6735)
    cents: Ints = np.round(prices * 100).astype(np.int64)
    return cents
