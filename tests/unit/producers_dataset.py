"""A made-up data set of a few orders, as rows and as the nine CSV files; tests bend it."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from olist.contracts import Contract, Row, Timestamp
from olist.source.files import file_name
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    CUSTOMERS,
    GEOLOCATION,
    ORDER_ITEMS,
    ORDER_PAYMENTS,
    ORDER_REVIEWS,
    ORDERS,
    PRODUCTS,
    SELLERS,
    TABLES,
    CategoryTranslation,
    Customer,
    Geolocation,
    Order,
    OrderItem,
    OrderPayment,
    OrderReview,
    Product,
    Seller,
)

DAY = 86_400_000_000
NOON = 1_514_894_400_000_000  # 2018-01-02 12:00:00


def at(days: float) -> int:
    """A time some days after the noon at which the first order is placed."""
    return NOON + int(days * DAY)


def small_shop() -> dict[str, list[Row]]:
    """Rows by table: an order that ran its course, one that was cancelled, one that nobody else mentions."""
    estimated = at(20)
    return {
        GEOLOCATION.table: [
            Geolocation("01001", -23.5, -46.6, "sao paulo", "SP"),
            Geolocation("01001", -23.5, -46.6, "sao paulo", "SP"),
            Geolocation("01001", -23.7, -46.8, "são paulo", "SP"),
            Geolocation("99990", -31.0, -52.0, "rio grande", "RS"),
        ],
        CATEGORY_TRANSLATIONS.table: [CategoryTranslation("brinquedos", "toys")],
        CUSTOMERS.table: [Customer(f"c{n}", f"u{n}", "01001", "são paulo", "SP") for n in range(3)],
        SELLERS.table: [Seller("s0", "01001", "sao paulo", "SP"), Seller("s1", "99990", "rio grande", "RS")],
        PRODUCTS.table: [
            Product("p0", "brinquedos", 40, 287, 1, 225, 16, 10, 14),
            Product("p1", None, None, None, None, None, None, None, None),
        ],
        ORDERS.table: [
            Order("o0", "c0", "delivered", at(0), at(0.1), at(2), at(7), estimated),
            Order("o1", "c1", "canceled", at(1), None, None, None, estimated),
            Order("o2", "c2", "shipped", at(0.5), at(0.6), at(0.4), None, estimated),
        ],
        ORDER_ITEMS.table: [
            OrderItem("o0", 1, "p0", "s0", at(3), Decimal("199.00"), Decimal("17.87")),
            OrderItem("o2", 1, "p0", "s0", at(3), Decimal("0.10"), Decimal("0.00")),
        ],
        ORDER_PAYMENTS.table: [
            OrderPayment("o0", 1, "credit_card", 2, Decimal("216.87")),
            OrderPayment("o1", 2, "voucher", 0, Decimal("0.00")),
        ],
        ORDER_REVIEWS.table: [
            OrderReview("r0", "o0", 5, "10", 'Muito bom!\r\nChegou "antes", 😀', at(7.5), at(9)),
            OrderReview("r0", "o2", 1, None, "  ", at(-1), at(10)),
        ],
    }


def csv_bytes(contract: Contract, rows: Iterable[Row], newline: str = "\n") -> bytes:
    """Rows as Kaggle's files hold them: null is an empty field, a time is local time to the second."""
    times = {column.name for column in contract.columns if isinstance(column.type, Timestamp)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=newline)
    writer.writerow([column.name for column in contract.columns])
    for row in rows:
        values = {column.name: getattr(row, column.name) for column in contract.columns}
        writer.writerow([_clock(v) if name in times and v is not None else v for name, v in values.items()])
    return out.getvalue().encode()


def _clock(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")


def files(shop: Mapping[str, list[Row]]) -> dict[str, bytes]:
    """The nine files by their names, the translations with Kaggle's byte order mark, CRLF and missing last newline."""
    made = {file_name(contract): csv_bytes(contract, shop[table]) for table, contract in TABLES.items()}
    translations = csv_bytes(CATEGORY_TRANSLATIONS, shop[CATEGORY_TRANSLATIONS.table], "\r\n")
    made[file_name(CATEGORY_TRANSLATIONS)] = b"\xef\xbb\xbf" + translations.rstrip()
    return made


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Unpacked files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def write_zip(path: Path, contents: Mapping[str, bytes]) -> Path:
    """A zip as Kaggle packs it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path
