from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from olist.errors import BadInput
from olist.settings import Settings
from olist.source import Dataset, load
from olist.source.typed import ColumnNames
from olist.tables import ORDER_ITEMS, ORDER_REVIEWS, ORDERS, TABLES
from producers.sequence import SEQ, TX, sequence
from producers.shop.documents import Collection, documents
from producers.shop.transactions import first_transactions, insert, slices, transactions, update, update_order
from tests.unit.producers_dataset import files, small_shop, write_folder


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return load(write_folder(tmp_path, files(small_shop())))


def test_an_update_names_every_other_column_and_finds_its_row_by_the_whole_key() -> None:
    text = update(ORDER_ITEMS)
    assert text.endswith('where "order_id" = %s and "order_item_id" = %s')
    assert text.count("%s") == len(ORDER_ITEMS.columns) == len(update_order(ORDER_ITEMS))


def test_every_change_is_one_statement_of_one_transaction(dataset: Dataset) -> None:
    changes = sequence(dataset.frames)
    made = transactions(dataset.frames, changes, 0)
    assert sum(len(one.statements) for one in made) == changes.height
    assert len(made) == changes[TX].n_unique()


def test_transactions_follow_on_each_other_without_a_gap(dataset: Dataset) -> None:
    made = transactions(dataset.frames, sequence(dataset.frames), 0)
    assert [one.before for one in made] == [0, *(one.after for one in made[:-1])]


def test_an_order_its_items_and_its_payments_are_one_transaction(dataset: Dataset) -> None:
    placed = [
        [statement for statement, _ in one.statements]
        for one in transactions(dataset.frames, sequence(dataset.frames), 0)
        if insert(ORDERS) in (statement for statement, _ in one.statements)
    ]
    assert any(insert(ORDER_ITEMS) in statements for statements in placed)
    assert all(update(ORDERS) not in statements for statements in placed)


def test_a_resumed_replay_goes_on_after_the_number_it_is_given(dataset: Dataset) -> None:
    changes = sequence(dataset.frames)
    whole = transactions(dataset.frames, changes, 0)
    done = whole[2].after
    assert transactions(dataset.frames, changes.filter(pl.col(SEQ) > done), done) == whole[3:]


def test_slices_cut_no_transaction_and_lose_no_change(dataset: Dataset) -> None:
    changes = sequence(dataset.frames)
    for most in range(1, changes.height + 2):
        parts = list(slices(changes, most))
        assert pl.concat(parts).equals(changes)
        numbers = [set(part[TX]) for part in parts]
        assert sum(map(len, numbers)) == changes[TX].n_unique()


def test_the_first_changes_end_with_a_transaction_and_are_never_none(dataset: Dataset) -> None:
    changes = sequence(dataset.frames)
    ends = {0, *(one.after for one in transactions(dataset.frames, changes, 0))}
    first = min(ends - {0})
    for most in range(1, changes.height + 2):
        found = first_transactions(changes, most).height
        assert found == max(end for end in ends if end <= max(most, first))
    assert first_transactions(changes, 0).height == 0
    assert first_transactions(changes.clear(), 5).height == 0


def test_values_are_text_that_postgres_reads_to_the_microsecond(dataset: Dataset) -> None:
    names = [column.name for column in ORDERS.columns]
    at = names.index(ColumnNames(ORDERS).order_purchase_timestamp)
    texts = [
        values[at]
        for one in transactions(dataset.frames, sequence(dataset.frames), 0)
        for statement, values in one.statements
        if statement == insert(ORDERS)
    ]
    assert "2018-01-02 12:00:00.000000" in texts


def test_every_table_has_its_statements() -> None:
    for contract in TABLES.values():
        assert contract.table in insert(contract)
        assert contract.table in update(contract)


def test_a_review_is_one_document_under_its_key_each_time_it_changes(dataset: Dataset) -> None:
    made = documents(dataset.frames, sequence(dataset.frames), ORDER_REVIEWS)
    names = ColumnNames(ORDER_REVIEWS)
    of_one = [one for one in made if one["_id"] == {names.review_id: "r0", names.order_id: "o0"}]
    assert [one[names.review_comment_title] for one in of_one] == [None, "10"]
    assert [set(one) - {"_id"} for one in of_one] == [{column.name for column in ORDER_REVIEWS.columns}] * 2
    assert all(isinstance(one[names.review_creation_date], int) for one in made)


def test_documents_are_asked_for_only_with_an_address() -> None:
    with pytest.raises(BadInput, match="needs to know where") as raised:
        Collection(Settings(mongodb=None))
    assert "OLIST_MONGODB" in raised.value.hint
