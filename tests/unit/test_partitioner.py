"""Where a key belongs: as Kafka's Java clients say, alone or among many."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olist.changes import codec
from olist.partitioner import LONGEST_TOGETHER, murmur2, partition_of, partitions_of, partitions_of_lines
from olist.tables import ORDERS


# From Apache Kafka's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_javas(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32
    assert 0 <= partition_of(data, 4) < 4


@given(st.lists(st.text(max_size=12), max_size=12), st.integers(1, 100))
def test_any_keys_hash_together_as_they_hash_alone(keys: list[str], partitions: int) -> None:
    found = partitions_of(pl.Series(keys, dtype=pl.String), partitions)
    assert found.tolist() == [partition_of(key.encode(), partitions) for key in keys]


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=12), st.integers(1, 100))
def test_any_lines_hash_together_as_they_hash_alone(lines: list[bytes], partitions: int) -> None:
    found = partitions_of_lines(b"".join(line + b"\n" for line in lines), partitions)
    assert found.tolist() == [partition_of(line, partitions) for line in lines]


def test_a_key_of_any_length_and_a_great_many_keys_hash_alike() -> None:
    lines = [b"x" * length for length in (0, LONGEST_TOGETHER, LONGEST_TOGETHER + 1, 5_000)]
    lines += [b"%d" % number for number in range(40_000)]
    found = partitions_of_lines(b"".join(line + b"\n" for line in lines), 7)
    assert found.tolist() == [partition_of(line, 7) for line in lines]


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("\x1f", rb"\u001F"),  # Jackson's digits are capitals, others' are not
        ("\x0b\\u00ab\\", rb"\u000B\\u00ab\\"),
        ('\n\t"/\x7f\u2028é', rb"\n\t\"/" + "\x7f\u2028é".encode()),
    ],
)
def test_a_key_is_spelt_to_the_byte_as_java_spells_it_alone_and_among_many(text: str, spelt: bytes) -> None:
    made, key = codec(ORDERS), b'{"order_id":"' + spelt + b'"}'
    assert made.encode_key((text,)) == key
    assert made.key_lines([made.key.decode(key)] * 2) == (key + b"\n") * 2
