from __future__ import annotations

from decimal import Decimal

import polars as pl
import pytest

from olist.contracts import Float, Integer, Money, Text, Timestamp, Type
from olist.errors import Stopped
from sinks.readback_values import typed

TIME = "%Y-%m-%d %H:%M:%S%.f"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Text(), "", ""),
        (Integer(32), "-7", -7),
        (Integer(64), str(2**63 - 1), 2**63 - 1),
        (Money(12, 2), "9999999999.99", Decimal("9999999999.99")),
        (Money(12, 2), "-0.10", Decimal("-0.10")),
        (Float(), "-23.545621", -23.545621),
    ],
)
def test_text_comes_back_exactly(kind: Type, text: str, value: object) -> None:
    found = typed("there", pl.Series("c", [text, None]), kind, TIME)
    assert found.to_list() == [value, None]


def test_moments_come_back_to_the_microsecond() -> None:
    found = typed("there", pl.Series("c", ["2018-08-17 21:15:09.999999", "2018-08-17 00:00:00"]), Timestamp(), TIME)
    assert found.dt.epoch("us").to_list() == [1534540509999999, 1534464000000000]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Money(12, 2), "12.345"),
        (Money(12, 2), "99999999999.00"),
        (Money(12, 2), "NaN"),
        (Timestamp(), "infinity"),
        (Timestamp(), "0044-03-15 00:00:00 BC"),
        (Integer(32), str(2**31)),
        (Integer(32), "1.0"),
        (Float(), "x"),
    ],
)
def test_what_the_type_cannot_hold_is_an_error_and_never_null(kind: Type, text: str) -> None:
    with pytest.raises(Stopped, match=r"there\.c holds"):
        typed("there", pl.Series("c", [text]), kind, TIME)
