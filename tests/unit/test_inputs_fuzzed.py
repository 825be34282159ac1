"""Whatever is typed, set or found on a topic without a contract: an answer, or a refusal that says what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olist.changes import Position, codec
from olist.contracts import Contract
from olist.errors import BadInput
from olist.settings import Settings
from olist.settings import settings as process_settings
from olist.tables import ORDER_ITEMS, ORDERS
from olist.topics.record_decoding import see
from olist.topics.record_format import as_json, line
from olist.topics.tail import key_bytes, moment
from sinks.cli.sink import contracts_for
from tests.fuzzed import cases
from tests.records import FakeRecord
from tests.unit.test_decoder_fuzzed import Records

T = TypeVar("T")
COLOUR = re.compile(r"\x1b\[\d+m")
NOW = datetime(2018, 8, 1, tzinfo=UTC)
TIMES = ["10m", "99999999d", "2018-08-01T12:00:00", "0001-01-01", "9999-12-31T23:59:59+14:00", "2018-W01", "١٠m"]
KEYS = ['{"order_id":"o"}', '{"order_id":"o","order_item_id":1}', "{", "o", '"', "null", '{"order_id":"\\ud800"}']
NAMES = ["orders", "orders,customers", ",", " orders ", "Orders", "orders;customers"]
# What a command line or a variable holds: any bytes but NUL, those that are no UTF-8 as lone surrogates.
typed = st.binary(max_size=30).map(lambda content: os.fsdecode(content.replace(b"\0", b""))) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30
)
numbers = st.integers().map(str) | st.sampled_from(["1e999", "nan", " 1 ", "0x10"])


def close_to(texts: list[str]) -> st.SearchStrategy[str]:
    """One of the texts, whole or with something put in, or anything."""
    cut = st.tuples(st.sampled_from(texts), st.integers(0, 40), typed)
    return (
        st.sampled_from(texts) | typed | cut.map(lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] :])
    )


def answer(call: Callable[[], T]) -> T | BadInput:
    """What a call returns, or its refusal. Any other error is a finding."""
    try:
        return call()
    except BadInput as refused:
        return refused


@settings(max_examples=cases(200))
@given(close_to(TIMES))
def test_any_text_is_a_time_with_a_zone_or_refused(text: str) -> None:
    found = answer(lambda: moment(text, NOW))
    assert found.hint if isinstance(found, BadInput) else found.tzinfo
    assert isinstance(found, BadInput) or isinstance(found.timestamp(), float)


@settings(max_examples=cases(200))
@given(close_to(KEYS), st.sampled_from([ORDERS, ORDER_ITEMS]))
def test_any_text_is_a_key_or_refused(text: str, contract: Contract) -> None:
    found = answer(lambda: key_bytes(text, contract))
    assert found.hint if isinstance(found, BadInput) else codec(contract).decode_key(found)


@settings(max_examples=cases(200))
@given(typed)
def test_without_a_contract_a_key_is_the_bytes_that_were_typed(text: str) -> None:
    assert key_bytes(text, None) == os.fsencode(text)


@settings(max_examples=cases(200))
@given(close_to(NAMES))
def test_any_text_names_tables_or_is_refused(text: str) -> None:
    found = answer(lambda: contracts_for("postgres", text))
    assert "tables: " in found.hint if isinstance(found, BadInput) else found


@settings(max_examples=cases(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(Settings.model_fields)), typed | numbers)
def test_any_variable_is_a_setting_or_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(f"OLIST_{name.upper()}", value)
        process_settings.cache_clear()
        found = answer(process_settings)
    process_settings.cache_clear()
    assert isinstance(found, Settings) or f"OLIST_{name.upper()}" in str(found)


headers = st.lists(st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=4)), max_size=2)


@settings(max_examples=cases(200))
@given(st.integers(0, 1 << 64), headers, st.sampled_from([ORDER_ITEMS, None]))
def test_any_record_is_shown_in_one_line_that_a_terminal_does_not_obey(
    seed: int, headers: list[Any], contract: Contract | None
) -> None:
    for key, value in Records(Random(seed)).batch():
        seen = see(contract, FakeRecord(key, value, extra=headers), Position("t", 0, 0))
        for shown in (line(seen, contract), as_json(seen, contract)):
            assert COLOUR.sub("", shown).isprintable()
            assert shown.encode()
