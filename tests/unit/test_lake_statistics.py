"""What a manifest says of a file is true of every row in it: a bound that is too narrow hides rows from engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, ListType, LongType, NestedField, StringType, StructType, TimestampType

from olist.lake.files import DELETE_SCHEMA, FULL, file_statistics, upper_bound
from tests.lakes import WHOLE_NOTES, Lake, local_settings

WORDS = Schema(NestedField(1, "words", StringType(), required=False))
LAST_BEFORE_SURROGATES, LAST = "\ud7ff", "\U0010ffff"

texts = st.builds(
    lambda beginning, times: (beginning * times)[:10_000],
    st.text(min_size=1, max_size=20),
    st.sampled_from([1, 1, 1, 2, 17, 300, 10_000]),
)
row_groups = st.lists(st.lists(st.none() | texts, max_size=4), min_size=1, max_size=4)


def statistics(schema: Schema, groups: Sequence[pa.Table], properties: dict[str, str] | None = None) -> dict[str, Any]:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, groups[0].schema) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(1, group.num_rows))
    return file_statistics(writer.writer.metadata, schema, properties or {})


def of_words(groups: Sequence[Sequence[str | None]], properties: dict[str, str] | None = None) -> dict[str, Any]:
    tables = [pa.table({"words": pa.array(group, type=pa.string())}) for group in groups]
    return statistics(WORDS, tables, properties)


@given(row_groups)
@example([["a"], ["b" * 5000]])
@example([["x" * 15 + LAST_BEFORE_SURROGATES + "y"]])
@example([[LAST * 17]])
def test_every_text_is_within_the_bounds_and_every_null_is_counted(groups: list[list[str | None]]) -> None:
    found = of_words(groups)
    values = [value for group in groups for value in group]
    there = [value.encode() for value in values if value is not None]
    lower, upper = found["lower_bounds"].get(1), found["upper_bounds"].get(1)
    assert lower is None or all(lower <= value for value in there)
    assert upper is None or all(value <= upper for value in there)
    assert found["value_counts"][1] == found["record_count"] == len(values)
    assert found["null_value_counts"][1] == values.count(None)


@given(texts, texts)
def test_an_upper_bound_is_short_and_above_every_text_that_begins_alike(text: str, rest: str) -> None:
    bound = upper_bound(text, 16)
    if bound is None:
        assert text[:16] == LAST * 16
    else:
        assert len(bound) <= 16
        assert (text[:16] + (rest if len(text) > 16 else "")).encode() <= bound.encode()


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("a" * 16, "a" * 16),
        ("a" * 17, "a" * 15 + "b"),
        ("a" * 15 + LAST_BEFORE_SURROGATES + "z", "a" * 15 + "\ue000"),
        ("a" * 14 + LAST_BEFORE_SURROGATES + LAST + "z", "a" * 14 + "\ue000"),
        ("a" + LAST * 20, "b"),
        (LAST * 17, None),
        (LAST * 16, LAST * 16),
    ],
)
def test_the_last_code_point_that_has_a_next_one_is_raised(text: str, bound: str | None) -> None:
    assert upper_bound(text, 16) == bound


def test_a_row_group_without_minimum_and_maximum_leaves_the_file_without_bounds() -> None:
    found = of_words([["a", "b"], ["c" * 4097], ["d"]])
    assert found["lower_bounds"] == found["upper_bounds"] == {}
    assert found["null_value_counts"] == {1: 0}


def test_row_groups_of_nulls_or_of_nothing_take_no_bound_away() -> None:
    found = of_words([["b"], [None, None], [], ["a"]])
    assert (found["lower_bounds"], found["upper_bounds"]) == ({1: b"a"}, {1: b"b"})
    assert found["null_value_counts"] == {1: 2}


def test_a_column_of_nulls_has_no_bounds_and_a_file_without_rows_has_none() -> None:
    assert of_words([[None]])["lower_bounds"] == {}
    assert of_words([[]])["upper_bounds"] == {}


def test_the_table_s_properties_say_which_columns_have_bounds_and_how_long() -> None:
    text = [["abcdef"]]
    assert of_words(text, {"write.metadata.metrics.default": "truncate(2)"})["upper_bounds"] == {1: b"ac"}
    assert of_words(text, {"write.metadata.metrics.column.words": "counts"})["lower_bounds"] == {}
    assert of_words(text, {"write.metadata.metrics.column.words": "none"})["value_counts"] == {}
    assert of_words([["a" * 100]], FULL)["upper_bounds"] == {1: b"a" * 100}


def test_a_delete_file_names_its_paths_in_full() -> None:
    path = "s3://lake/warehouse/olist/orders/data/0123456789abcdef.parquet"
    rows = pa.table({"file_path": [path, path], "pos": pa.array([3, 7], type=pa.int64())})
    found = statistics(DELETE_SCHEMA, [rows], FULL)
    ids = {field.name: field.field_id for field in DELETE_SCHEMA.fields}
    assert found["lower_bounds"][ids["file_path"]] == found["upper_bounds"][ids["file_path"]] == path.encode()
    assert found["upper_bounds"][ids["pos"]] == (7).to_bytes(8, "little")


def test_numbers_and_moments_have_their_own_bounds_and_the_farthest_year_is_one_of_them() -> None:
    schema = Schema(
        NestedField(1, "seen_at", TimestampType(), required=False),
        NestedField(2, "score", DoubleType(), required=False),
    )
    far = 9_000_000_000_000_000_000
    moments = pa.array([-5, far], type=pa.int64()).cast(pa.timestamp("us"))
    found = statistics(schema, [pa.table({"seen_at": moments, "score": [float("nan"), 1.5]})])
    assert found["upper_bounds"][1] == far.to_bytes(8, "little")
    assert found["lower_bounds"][2] == found["upper_bounds"][2]


def test_what_is_inside_a_list_is_counted_by_size_alone() -> None:
    element = StructType(NestedField(3, "n", LongType(), required=True))
    schema = Schema(NestedField(1, "items", ListType(2, element, element_required=True), required=False))
    of_rows = pa.array([[{"n": 1}, {"n": 2}], []], type=pa.list_(pa.field("element", pa.struct([("n", pa.int64())]))))
    found = statistics(schema, [pa.table({"items": of_rows})])
    assert list(found["column_sizes"]) == [3]
    assert found["value_counts"] == found["lower_bounds"] == {}


def test_a_delete_file_concerns_the_data_file_that_it_names_and_no_other(tmp_path: Path) -> None:
    lake = Lake(local_settings(tmp_path), WHOLE_NOTES)
    writer = lake.writer()
    for value in range(5):
        lake.write(writer, [(value * 10 + key, value) for key in range(3)])
    lake.write(writer, [(0, None)])
    lake.write(writer, [(21, None)])
    assert sorted(len(task.delete_files) for task in writer.table.scan().plan_files()) == [0, 0, 0, 1, 1]
