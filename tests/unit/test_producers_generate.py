"""The synthetic data set: read like the real one, the same for a seed, with the real one's shapes and quirks."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from olist.errors import BadInput
from olist.source import load, read
from olist.source.files import file_name
from olist.source.typed import ColumnNames
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    CUSTOMERS,
    ORDER_ITEMS,
    ORDER_PAYMENTS,
    ORDER_REVIEWS,
    ORDERS,
    PRODUCTS,
    SELLERS,
    TABLES,
)
from producers.cli import generate
from producers.generation import dataset
from producers.generation.dataset import generate as write_dataset
from producers.sequence import sequence

ORDER_COUNT = 20_000
DAY = 86_400_000_000
order, item, payment, review, product = (
    ColumnNames(contract) for contract in (ORDERS, ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS, PRODUCTS)
)


def quiet(_done: int) -> None:
    pass


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("generated") / "data"
    write_dataset(folder, ORDER_COUNT, 7, quiet)
    return read(folder)


def missing(child: pl.DataFrame, parent: pl.DataFrame, key: str) -> int:
    return child.filter(pl.col(key).is_not_null()).join(parent, on=key, how="anti").height


def share(frame: pl.DataFrame, condition: pl.Expr) -> float:
    return float(frame.select(condition.mean()).item())


def test_every_reference_resolves_but_two_categories(frames: dict[str, pl.DataFrame]) -> None:
    orders = frames[ORDERS.table]
    assert missing(orders, frames[CUSTOMERS.table], order.customer_id) == 0
    for contract in (ORDER_ITEMS, ORDER_PAYMENTS, ORDER_REVIEWS):
        assert missing(frames[contract.table], orders, order.order_id) == 0
    assert missing(frames[ORDER_ITEMS.table], frames[PRODUCTS.table], item.product_id) == 0
    assert missing(frames[ORDER_ITEMS.table], frames[SELLERS.table], item.seller_id) == 0
    category = product.product_category_name
    named = frames[PRODUCTS.table].filter(pl.col(category).is_not_null())
    untranslated = named.join(frames[CATEGORY_TRANSLATIONS.table], on=category, how="anti")
    assert untranslated[category].n_unique() == 2


def test_it_becomes_a_sequence_that_holds_every_row(frames: dict[str, pl.DataFrame]) -> None:
    changes = sequence(frames)
    assert changes.group_by("table", "row").len().height == sum(frame.height for frame in frames.values())


# Measured over the real orders; (share, by how much a sample of this size may be off).
STATUS_SHARES = {
    "delivered": (0.970, 0.006),
    "shipped": (0.011, 0.003),
    "canceled": (0.007, 0.003),
    "unavailable": (0.006, 0.003),
    "invoiced": (0.003, 0.002),
    "processing": (0.003, 0.002),
}


@pytest.mark.parametrize("status", STATUS_SHARES)
def test_statuses_are_mixed_as_in_the_real_set(frames: dict[str, pl.DataFrame], status: str) -> None:
    expected, off_by = STATUS_SHARES[status]
    assert abs(share(frames[ORDERS.table], pl.col(order.order_status) == status) - expected) < off_by


def test_dates_contradict_each_other_as_often_as_in_the_real_set(frames: dict[str, pl.DataFrame]) -> None:
    orders = frames[ORDERS.table]
    placed, approved = pl.col(order.order_purchase_timestamp), pl.col(order.order_approved_at)
    carrier, customer = pl.col(order.order_delivered_carrier_date), pl.col(order.order_delivered_customer_date)
    estimated = pl.col(order.order_estimated_delivery_date)
    assert abs(share(orders, carrier < approved) - 0.014) < 0.005
    assert 0 < share(orders, carrier < placed) < 0.005
    assert abs(share(orders, customer > estimated) - 0.08) < 0.01
    assert abs(share(orders, approved == placed) - 0.012) < 0.004
    assert share(orders, estimated % DAY == 0) == 1.0
    delivered = orders.filter(pl.col(order.order_status) == "delivered")
    assert delivered[order.order_approved_at].null_count() > 0


def test_items_and_payments_have_the_real_sets_gaps(frames: dict[str, pl.DataFrame]) -> None:
    orders, items, payments = (frames[contract.table] for contract in (ORDERS, ORDER_ITEMS, ORDER_PAYMENTS))
    without_items = orders.join(items, on=order.order_id, how="anti")
    assert set(without_items[order.order_status]) <= {"unavailable", "canceled", "invoiced"}
    assert abs(without_items.height / orders.height - 0.0075) < 0.003
    assert abs(items.height / orders.height - 1.134) < 0.05
    assert abs(payments.height / orders.height - 1.047) < 0.02
    first = payments.group_by(payment.order_id).agg(pl.col(payment.payment_sequential).min())
    assert 0 < share(first, pl.col(payment.payment_sequential) > 1) < 0.003
    assert share(payments, pl.col(payment.payment_value) == 0) > 0
    assert payments.group_by(payment.order_id).len()["len"].max() > 5  # type: ignore[operator]


def test_reviews_hold_what_trips_a_reader(frames: dict[str, pl.DataFrame]) -> None:
    reviews = frames[ORDER_REVIEWS.table]
    message, title = pl.col(review.review_comment_message), pl.col(review.review_comment_title)
    said = reviews.filter(message.is_not_null())
    assert abs(share(reviews, message.is_null()) - 0.586) < 0.02
    assert abs(share(reviews, title.is_null()) - 0.885) < 0.02
    assert abs(share(said, message.str.contains("\r\n")) - 0.0925) < 0.02
    for oddity in ('"', ",", "[\U00010000-\U0010ffff]", "[ãéíóú]"):
        assert share(said, message.str.contains(oddity)) > 0.002
    assert said.filter(message.str.strip_chars() == "").height > 0
    assert reviews.filter(title.str.contains(r"^\d+$")).height > 0
    assert reviews.group_by(review.review_id).len()["len"].max() == 2
    assert reviews.group_by(review.order_id).len()["len"].max() == 3


def test_products_lack_names_together(frames: dict[str, pl.DataFrame]) -> None:
    products = frames[PRODUCTS.table]
    unnamed = products.filter(pl.col(product.product_category_name).is_null())
    assert abs(unnamed.height / products.height - 0.0185) < 0.008
    assert unnamed[product.product_photos_qty].null_count() == unnamed.height


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_dataset(tmp_path / name, 200, seed, quiet)
    prints = [load(tmp_path / name).fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]


def test_chunks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "CHUNK", 70)
    told: list[int] = []
    write_dataset(tmp_path / "data", 200, 1, told.append)
    assert told == [70, 140, 200]
    assert read(tmp_path / "data")[ORDERS.table].height == 200


def test_a_single_order_is_a_data_set(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 1, 0, quiet)
    assert read(tmp_path / "data")[ORDERS.table].height == 1


def test_the_translations_keep_the_real_files_odd_shape(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 1, 0, quiet)
    content = (tmp_path / "data" / file_name(CATEGORY_TRANSLATIONS)).read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in content
    assert not content.endswith(b"\n")


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    out = tmp_path / "made"
    result = CliRunner().invoke(generate, ["--orders", "20", "--out", str(out)])
    assert result.exit_code == 0
    assert f"olist replay --data {out}" in result.output
    assert {file.name for file in out.iterdir()} == {file_name(contract) for contract in TABLES.values()}


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is there already"):
        write_dataset(tmp_path, 20, 1, quiet)


def test_a_cut_run_leaves_no_folder_that_looks_whole(tmp_path: Path) -> None:
    def cut(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "data", 20, 1, cut)
    assert not (tmp_path / "data").exists()
    write_dataset(tmp_path / "data", 20, 1, quiet)
    assert not (tmp_path / "data.partial").exists()
