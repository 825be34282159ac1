"""The archives, folders and files that people have: read, or refused with the file and the way out."""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from olist.contracts import Contract, Text
from olist.errors import BadInput, BadRow
from olist.source import load
from olist.source.dataset import parse
from olist.source.files import file_name, read_files
from olist.source.layout import BOM
from olist.tables import CUSTOMERS, GEOLOCATION, ORDER_REVIEWS, ORDERS, SELLERS, TABLES
from tests.fuzzed import cases
from tests.unit.producers_dataset import csv_bytes, files, small_shop, write_folder, write_zip

CONTENTS = files(small_shop())
EXPECTED = {table: CONTENTS[file_name(contract)] for table, contract in TABLES.items()}
ORDERS_FILE = file_name(ORDERS)


def refused(path: Path) -> BadInput:
    with pytest.raises(BadInput) as caught:
        load(path)
    assert caught.value.hint
    return caught.value


def zip_with(path: Path, *more: tuple[str, bytes], instead: Callable[[str], str] = str) -> Path:
    """The data set with its members renamed, and more of them."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [*((instead(name), content) for name, content in CONTENTS.items()), *more]:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("marks", [0, 1, 2])
def test_every_line_end_and_any_number_of_byte_order_marks_give_the_same_rows(line_end: str, marks: int) -> None:
    rows = small_shop()[ORDER_REVIEWS.table]
    content = BOM * marks + csv_bytes(ORDER_REVIEWS, rows, line_end)
    assert parse(ORDER_REVIEWS, content).equals(parse(ORDER_REVIEWS, csv_bytes(ORDER_REVIEWS, rows)))


def test_a_carriage_return_in_the_middle_of_a_line_is_named() -> None:
    content = csv_bytes(CUSTOMERS, small_shop()[CUSTOMERS.table]).replace(b"c1,u1", b"c1,u\r1")
    with pytest.raises(BadRow, match="a carriage return alone") as caught:
        parse(CUSTOMERS, content)
    assert (caught.value.line, caught.value.column) == (3, CUSTOMERS.columns[1].name)


@pytest.mark.parametrize("field", [b'u"1', b'"u"1"', b'""u1', b'u1"', b'"u1" '])
def test_a_quote_in_the_middle_of_a_field_is_named(field: bytes) -> None:
    content = csv_bytes(CUSTOMERS, small_shop()[CUSTOMERS.table]).replace(b"c1,u1", b"c1," + field)
    with pytest.raises(BadRow, match="quote") as caught:
        parse(CUSTOMERS, content)
    assert (caught.value.line, caught.value.column) == (3, CUSTOMERS.columns[1].name)


def test_a_header_of_another_kind_of_file_is_refused() -> None:
    for content in (b"x" * 1_000_000, b'"' * 300_000, b'"a\r"b\n1,2\n'):
        with pytest.raises(BadInput, match=r"line 1"):
            parse(SELLERS, content)


@pytest.mark.parametrize(
    "instead",
    [
        lambda name: f"archive\\{name}",
        lambda name: f"./a/b/{name}",
        str.upper,
    ],
    ids=["backslashes", "folders", "capitals"],
)
def test_a_member_is_known_by_its_base_name(instead: Callable[[str], str], tmp_path: Path) -> None:
    assert read_files(zip_with(tmp_path / "data.zip", instead=instead)) == EXPECTED


def test_gzipped_files_are_read_from_a_folder_and_from_a_zip(tmp_path: Path) -> None:
    packed = {f"{name}.gz": gzip.compress(content) for name, content in CONTENTS.items()}
    assert read_files(write_folder(tmp_path / "folder", packed)) == EXPECTED
    assert read_files(write_zip(tmp_path / "data.zip", packed)) == EXPECTED


def test_a_damaged_gzip_is_named(tmp_path: Path) -> None:
    packed = {f"{name}.gz": gzip.compress(content)[:-9] for name, content in CONTENTS.items()}
    assert ".csv.gz" in str(refused(write_folder(tmp_path, packed)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", [ORDERS_FILE, f"old/{ORDERS_FILE}", ORDERS_FILE.upper()])
def test_two_members_that_are_one_file_are_read_where_they_are_equal_and_refused_where_not(
    second: str, tmp_path: Path
) -> None:
    assert read_files(zip_with(tmp_path / "same.zip", (second, CONTENTS[ORDERS_FILE]))) == EXPECTED
    error = refused(zip_with(tmp_path / "other.zip", (second, CONTENTS[ORDERS_FILE] + b"more")))
    assert f"{ORDERS_FILE} and {second} are the same file" in str(error)


def test_an_encrypted_member_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", CONTENTS)
    error = refused(_with_header_field(path, local=6, central=8, value=1))
    assert "is encrypted" in str(error)
    assert "give the folder" in error.hint


@pytest.mark.parametrize("method", [9, 14, 93, 99], ids=["deflate64", "lzma, which it is not", "zstd", "aes"])
def test_a_way_to_pack_that_is_not_known_is_refused(method: int, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", CONTENTS)
    refused(_with_header_field(path, local=8, central=10, value=method))


def _with_header_field(path: Path, *, local: int, central: int, value: int) -> Path:
    """The zip with a 16-bit field of every header set."""
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = content.find(mark)
        while at >= 0:
            struct.pack_into("<H", content, at + offset, value)
            at = content.find(mark, at + 4)
    path.write_bytes(bytes(content))
    return path


def test_a_folder_where_a_file_should_be_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path, {name: content for name, content in CONTENTS.items() if name != ORDERS_FILE})
    (tmp_path / ORDERS_FILE).mkdir()
    assert f"{ORDERS_FILE} is a folder" in str(refused(tmp_path))


def test_a_zip_in_a_zip_or_in_a_folder_is_named(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner.zip", CONTENTS).read_bytes()
    assert "unpack inner.zip" in refused(write_zip(tmp_path / "outer.zip", {"inner.zip": inner})).hint
    assert "unpack data.zip" in refused(write_folder(tmp_path / "folder", {"data.zip": inner})).hint


def test_files_of_other_names_are_named(tmp_path: Path) -> None:
    path = write_folder(tmp_path, {"olist_public_dataset_v2.csv": b"order_id\n"})
    assert "olist_public_dataset_v2.csv" in refused(path).hint


def test_what_is_neither_a_file_nor_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in str(refused(tmp_path / "pipe"))
    assert "File name too long" in str(refused(tmp_path / ("x" * 300)))


# Mutations of files that are right.

CASES = 100
"""Files that one example tries: drawing an example costs as much as reading a file."""
PIECES = [*b"\r\n\", \x00\xff'-.;\\#\x0b\x1a9", b"\r\n", b'""', BOM, b"1e5", b"nan", b"", b"9" * 40, b"\xe2\x80\xa8"]
RIGHT = [(contract, CONTENTS[file_name(contract)]) for contract in TABLES.values()]


def mutated(chance: random.Random, content: bytes) -> bytes:
    """A file with pieces put in, cut out or put in the place of others."""
    made = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, cut = chance.randrange(len(made) + 1), chance.choice([0, 0, 0, 1, 2, 40])
        piece = chance.choice(PIECES)
        made[at : at + cut] = bytes([piece]) if isinstance(piece, int) else piece
    if chance.random() < 0.1:
        return bytes(made).replace(*chance.choice([(b"\n", b"\r"), (b"\n", b"\r\n"), (b",", b";"), (b'"', b"")]))
    return bytes(made)


def texts(contract: Contract, frame: pl.DataFrame) -> list[tuple[str, ...]]:
    names = [column.name for column in contract.columns if isinstance(column.type, Text)]
    return [tuple(value or "" for value in row) for row in frame.select(names).iter_rows()]


def texts_by_the_standard_library(contract: Contract, content: bytes) -> list[tuple[str, ...]]:
    lines = io.StringIO(content.decode().lstrip("\ufeff"), newline="")
    _header, *rows = csv.reader(lines, strict=True)
    kept = [at for at, column in enumerate(contract.columns) if isinstance(column.type, Text)]
    return [tuple(row[at] for at in kept) for row in rows]


@pytest.mark.timeout(900)
@settings(max_examples=cases(100))
@given(st.integers(0, 2**32))
@example(0)
def test_any_file_is_read_as_another_reader_reads_it_or_refused(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(CASES):
        contract, content = chance.choice(RIGHT)
        content = mutated(chance, content)
        try:
            frame = parse(contract, content)
        except BadInput:
            continue
        if contract is not GEOLOCATION:  # which is reduced to one row a prefix
            assert texts(contract, frame) == texts_by_the_standard_library(contract, content), content


@pytest.mark.parametrize(
    ("contract", "old", "new"),
    [
        (SELLERS, b"seller_id", b'""seller_id'),
        (SELLERS, b"\n", b"\r\r\n"),
        (SELLERS, b"s0", BOM + b"s0"),
        (SELLERS, b"sao paulo", b"sao\rpaulo"),
        (SELLERS, b"sao paulo", b'sao "paulo"'),
        (CUSTOMERS, b"\n", b"\r"),
        (ORDERS, b"_id,", b'_id",'),
    ],
)
def test_what_was_found_so_far_is_read_or_refused(contract: Contract, old: bytes, new: bytes) -> None:
    content = CONTENTS[file_name(contract)].replace(old, new)
    try:
        frame = parse(contract, content)
    except BadInput:
        return
    assert texts(contract, frame) == texts_by_the_standard_library(contract, content)


@settings(max_examples=cases(50))
@given(seed=st.integers(0, 2**32))
def test_any_zip_is_read_or_refused(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(seed)
    folder = tmp_path_factory.getbasetemp()
    right = write_zip(folder / "right.zip", CONTENTS).read_bytes()
    for _ in range(CASES // 5):
        content = bytearray(right)
        for _ in range(chance.choice([1, 2, 8])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path = folder / "mutated.zip"
        path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
        with suppress(BadInput):
            assert set(read_files(path)) == set(TABLES)
