"""Reading the nine files: to the letter when they are right, by file, line and column when they are not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from olist.contracts import Contract
from olist.errors import BadInput, BadRow
from olist.source import iter_rows, load, read
from olist.source.dataset import parse
from olist.source.files import file_name
from olist.source.typed import reduce_geolocation
from olist.tables import (
    CATEGORY_TRANSLATIONS,
    CUSTOMERS,
    GEOLOCATION,
    ORDER_ITEMS,
    ORDER_REVIEWS,
    ORDERS,
    SELLERS,
    TABLES,
    Geolocation,
    OrderReview,
)
from tests.unit.producers_dataset import csv_bytes, files, small_shop, write_folder, write_zip


def refusal(contract: Contract, content: bytes) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse(contract, content)
    return caught.value


def test_a_zip_and_its_folder_give_the_same_rows_and_the_same_fingerprint(tmp_path: Path) -> None:
    contents = files(small_shop())
    packed = load(write_zip(tmp_path / "data.zip", contents))
    unpacked = load(write_folder(tmp_path / "data", contents))
    assert packed.fingerprint == unpacked.fingerprint
    assert all(packed.frames[table].equals(unpacked.frames[table]) for table in TABLES)


def test_a_zip_with_a_folder_around_the_files_is_read(tmp_path: Path) -> None:
    inside = {f"archive/{name}": content for name, content in files(small_shop()).items()}
    assert set(read(write_zip(tmp_path / "data.zip", inside))) == set(TABLES)


def test_another_byte_is_another_fingerprint(tmp_path: Path) -> None:
    contents = files(small_shop())
    first = load(write_folder(tmp_path / "a", contents)).fingerprint
    contents[file_name(CUSTOMERS)] = contents[file_name(CUSTOMERS)].replace(b"u1", b"u9")
    assert load(write_folder(tmp_path / "b", contents)).fingerprint != first


@pytest.mark.parametrize("contract", [c for c in TABLES.values() if c is not GEOLOCATION], ids=lambda c: c.table)
def test_rows_come_back_to_the_letter(contract: Contract, tmp_path: Path) -> None:
    shop = small_shop()
    frames = read(write_folder(tmp_path, files(shop)))
    assert list(iter_rows(contract, frames[contract.table])) == shop[contract.table]


def test_a_quoted_empty_field_is_empty_text_and_an_unquoted_one_is_null() -> None:
    header, line = csv_bytes(ORDER_REVIEWS, small_shop()[ORDER_REVIEWS.table][1:]).splitlines()
    (row,) = iter_rows(ORDER_REVIEWS, parse(ORDER_REVIEWS, header + b"\n" + line.replace(b",,", b',"",')))
    assert isinstance(row, OrderReview)
    assert row.review_comment_title == ""


def test_crlf_line_ends_and_a_missing_last_newline_change_nothing() -> None:
    rows = small_shop()[ORDERS.table]
    assert list(iter_rows(ORDERS, parse(ORDERS, csv_bytes(ORDERS, rows, "\r\n").rstrip()))) == rows


def test_a_file_with_a_header_alone_is_an_empty_table() -> None:
    assert parse(SELLERS, csv_bytes(SELLERS, [])).height == 0


def test_geolocation_is_the_median_of_distinct_points_and_the_most_frequent_place() -> None:
    points = [
        Geolocation("01001", 1.0, 10.0, "b", "SP"),
        Geolocation("01001", 1.0, 10.0, "b", "SP"),
        Geolocation("01001", 2.0, 20.0, "a", "SP"),
        Geolocation("01001", 9.0, 30.0, "a", "SP"),
        Geolocation("00999", 0.12345678, 0.0, "z", "RJ"),
    ]
    expected = [Geolocation("00999", 0.123457, 0.0, "z", "RJ"), Geolocation("01001", 2.0, 20.0, "a", "SP")]
    for seed in range(5):
        random.Random(seed).shuffle(points)
        reduced = parse(GEOLOCATION, csv_bytes(GEOLOCATION, points))
        assert list(iter_rows(GEOLOCATION, reduced)) == expected


def test_geolocation_that_is_reduced_already_stays_as_it_is() -> None:
    once = parse(GEOLOCATION, csv_bytes(GEOLOCATION, small_shop()[GEOLOCATION.table]))
    assert reduce_geolocation(once).equals(once)


@pytest.mark.parametrize(
    ("contract", "old", "new", "line", "reason"),
    [
        (ORDER_ITEMS, b"199.00", b"199.001", 2, "'199.001' is not a decimal"),
        (ORDER_ITEMS, b"0.10", b"1e3", 3, "'1e3' is not a decimal"),
        (ORDER_ITEMS, b"17.87", b"", 2, "empty, and the contract allows no null"),
        (ORDER_ITEMS, b"o2,1", b"o2,one", 3, "'one' is not a whole number of 32 bits"),
        (ORDER_ITEMS, b"o2,1", b"o2,2147483648", 3, "'2147483648' is not a whole number of 32 bits"),
        (ORDERS, b"2018-01-03 12:00:00", b"2018-02-30 12:00:00", 3, "'2018-02-30 12:00:00' is not a time"),
        (ORDERS, b"2018-01-03 12:00:00", b"03/01/2018 12:00", 3, "'03/01/2018 12:00' is not a time"),
        (ORDERS, b"2018-01-03 12:00:00", b"2018-01-03 12:00:60", 3, "'2018-01-03 12:00:60' is not a time"),
        (GEOLOCATION, b"-31.0", b"nan", 5, "'nan' is not a finite number"),
        (ORDERS, b"o1", b"o0", 3, "the key 'o0' is there already, on line 2"),
    ],
)
def test_a_bad_field_is_named_by_line_and_reason(
    contract: Contract, old: bytes, new: bytes, line: int, reason: str
) -> None:
    content = csv_bytes(contract, small_shop()[contract.table])
    error = refusal(contract, content.replace(old, new, 1))
    assert isinstance(error, BadRow)
    assert (error.file, error.line) == (file_name(contract), line)
    assert reason in error.reason


def test_line_numbers_count_the_lines_inside_quoted_fields() -> None:
    content = csv_bytes(ORDER_REVIEWS, small_shop()[ORDER_REVIEWS.table])
    error = refusal(ORDER_REVIEWS, content.replace(b"o2,1,", b"o2,x,"))
    assert isinstance(error, BadRow)
    assert error.line == 4  # the first review's message takes lines 2 and 3


def test_the_first_of_many_bad_lines_is_named() -> None:
    content = csv_bytes(ORDER_ITEMS, small_shop()[ORDER_ITEMS.table]).replace(b"0.00", b"x").replace(b"o0,1", b"o0,y")
    error = refusal(ORDER_ITEMS, content)
    assert isinstance(error, BadRow)
    assert error.line == 2


def test_too_few_and_too_many_fields_are_named_by_line() -> None:
    content = csv_bytes(ORDER_REVIEWS, small_shop()[ORDER_REVIEWS.table])
    short = refusal(ORDER_REVIEWS, content.rpartition(b",")[0])
    assert "line 4" in str(short)
    assert "6 fields, expected 7" in str(short)
    assert "8 fields, expected 7" in str(refusal(ORDER_REVIEWS, content.rstrip() + b",more\n"))


def test_a_blank_line_is_named() -> None:
    content = csv_bytes(SELLERS, small_shop()[SELLERS.table])
    assert "line 4" in str(refusal(SELLERS, content + b"\n"))
    assert "blank" in str(refusal(SELLERS, content + b"\n"))


def test_a_quote_that_is_never_closed_is_named_by_line() -> None:
    content = csv_bytes(CUSTOMERS, small_shop()[CUSTOMERS.table]).replace(b"c1,", b'"c1,')
    error = refusal(CUSTOMERS, content)
    assert "line 3" in str(error)
    assert "never closed" in str(error)


def test_text_after_a_closing_quote_is_named_by_line() -> None:
    content = csv_bytes(CUSTOMERS, small_shop()[CUSTOMERS.table]).replace(b"c2,", b'"c2"x,')
    assert "line 4" in str(refusal(CUSTOMERS, content))


def test_a_byte_that_is_not_utf8_is_named_by_line_and_offset() -> None:
    content = csv_bytes(CUSTOMERS, small_shop()[CUSTOMERS.table])
    latin = content.replace("ã".encode(), b"\xe3", 1)
    message = str(refusal(CUSTOMERS, latin))
    assert "line 2" in message
    assert f"offset {latin.index(0xE3)} of the file" in message
    assert "0xe3" in message


def test_wrong_columns_show_what_was_expected_and_what_was_found() -> None:
    content = csv_bytes(SELLERS, small_shop()[SELLERS.table])
    name = SELLERS.columns[1].name.encode()
    message = str(refusal(SELLERS, content.replace(name, b"zip", 1)))
    assert f"missing: {name.decode()}" in message
    assert "not in the contract: zip" in message
    assert "expected: " in message
    assert "found:    " in message


def test_columns_in_another_order_are_refused() -> None:
    content = csv_bytes(CATEGORY_TRANSLATIONS, []).decode().strip()
    swapped = ",".join(reversed(content.split(",")))
    assert "another order" in str(refusal(CATEGORY_TRANSLATIONS, swapped.encode()))


def test_an_empty_file_is_refused() -> None:
    assert "the file is empty" in str(refusal(SELLERS, b"\n"))


def test_a_missing_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    contents = files(small_shop())
    del contents[file_name(ORDERS)]
    for path in (write_folder(tmp_path / "data", contents), write_zip(tmp_path / "data.zip", contents)):
        with pytest.raises(BadInput, match=f"missing {file_name(ORDERS)}") as caught:
            load(path)
        assert "olist generate" in caught.value.hint


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_zip_is_told_as_such(tmp_path: Path, kept: float) -> None:
    path = write_zip(tmp_path / "data.zip", files(small_shop()))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(BadInput, match="truncated"):
        load(path)


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", files(small_shop()))
    content = bytearray(path.read_bytes())
    content[120] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(BadInput, match="not a readable zip"):
        load(path)


def test_something_that_is_no_zip_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"<html>sign in</html>")
    with pytest.raises(BadInput, match="not a readable zip"):
        load(tmp_path / "data.zip")
    with pytest.raises(BadInput, match="no such file or folder"):
        load(tmp_path / "nothing.zip")
