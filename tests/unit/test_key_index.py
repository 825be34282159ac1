from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from olist.lake.key_index import FREE, KeyIndex, fingerprints, pack, unpack

KEY = ("a", "b")


def prints(keys: list[int]) -> np.ndarray:
    frame = pl.DataFrame({"a": [f"k{k}" for k in keys], "b": keys}, schema={"a": pl.String, "b": pl.Int32})
    return fingerprints(frame, KEY)


steps = st.lists(
    st.tuples(st.sampled_from(["put", "remove"]), st.sets(st.integers(0, 60), min_size=1, max_size=20)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_the_index_answers_as_a_dict_does(steps: list[tuple[str, set[int]]]) -> None:
    index, model = KeyIndex(capacity=16), dict[int, int]()
    for number, (step, chosen) in enumerate(steps):
        keys = sorted(chosen)
        if step == "put":
            index.put(prints(keys), np.array([number * 100 + k for k in keys], dtype=np.int64))
            model |= {k: number * 100 + k for k in keys}
        else:
            index.remove(prints(keys))
            for k in keys:
                model.pop(k, None)
        assert len(index) == len(model)
        assert index.locate(prints(list(range(61)))).tolist() == [model.get(k, FREE) for k in range(61)]


def test_a_million_keys_are_found_again_and_cost_at_most_fifty_one_bytes_each() -> None:
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 2**63, size=(1_000_000, 2), dtype=np.uint64)
    locations = np.arange(len(keys), dtype=np.int64)
    index = KeyIndex()
    for start in range(0, len(keys), 50_000):
        index.put(keys[start : start + 50_000], locations[start : start + 50_000])
    assert (index.locate(keys) == locations).all()
    assert index.nbytes / len(index) <= 51


def test_a_location_unpacks_to_its_file_and_row() -> None:
    files, rows = unpack(pack(7, np.array([0, 5, 2**36 - 1], dtype=np.int64)))
    assert files.tolist() == [7, 7, 7]
    assert rows.tolist() == [0, 5, 2**36 - 1]


def test_keys_that_join_to_the_same_text_have_different_fingerprints() -> None:
    frame = pl.DataFrame({"a": ["x", "xy"], "b": ["yz", "z"]})
    first, second = fingerprints(frame, KEY).tolist()
    assert first != second
