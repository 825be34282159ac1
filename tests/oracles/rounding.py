"""Exact quotients, rounded the way a person would."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext

import polars as pl


def rounded(dividend: str, divisor: str, places: int) -> pl.Expr:
    """The quotient of two columns to so many places, half rounded up; null where the divisor is 0."""

    def one(pair: dict[str, Decimal | int]) -> Decimal | None:
        with localcontext() as context:
            context.prec = 60
            if not pair[divisor]:
                return None
            quotient = Decimal(pair[dividend]) / Decimal(pair[divisor])
            return quotient.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)

    return pl.struct(dividend, divisor).map_elements(one, return_dtype=pl.Decimal(18, places))
