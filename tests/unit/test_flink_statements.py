"""A Flink app as text: what its tables, views and values are spelt as."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olist.changes import Position, codec
from olist.contracts import Contract, Int, Micros, Money, Price, Row, Str, Text
from olist.settings import Settings
from olist.tables import ORDER_ITEMS, ORDERS
from stream_apps.app import FlinkApp
from stream_apps.flink.ddl import insert, names, source_table, statements, view
from stream_apps.flink_sql.envelope import template, value_of
from stream_apps.flink_sql.rows import json_list, quotient
from stream_apps.flink_sql.text import json_value, literal, quoted, sortable, sql_type

SETTINGS = Settings(kafka="broker:9092", topic_prefix="shop.public")


class Line(Row):
    number: Int
    name: Str | None


class Derived(Row):
    day: Micros
    state: Str
    total: Price
    lines: list[Line]


DERIVED = Contract("derived", Derived, key=("state", "day"))
APP = FlinkApp("counting", reads=(ORDERS, ORDER_ITEMS), writes=DERIVED, select="SELECT 1")


def test_names_and_literals_survive_what_would_end_them() -> None:
    assert quoted("a`b") == "`a``b`"
    assert literal("d'oeste") == "'d''oeste'"


def test_a_list_is_an_array_of_rows() -> None:
    column = DERIVED.columns[3]
    assert sql_type(column.type) == "ARRAY<ROW<`number` INT, `name` STRING>>"


def test_money_is_spelt_with_exactly_its_scale_and_as_a_string() -> None:
    spelt = json_value("x", Money(12, 2))
    assert spelt == """COALESCE(CONCAT('"', CAST(CAST(x AS DECIMAL(12, 2)) AS STRING), '"'), 'null')"""


@pytest.mark.parametrize("contract", [ORDERS, ORDER_ITEMS], ids=lambda contract: contract.table)
def test_a_views_columns_are_the_contracts_and_the_commit_time(contract: Contract) -> None:
    selected = view(contract).partition("FROM")[0]
    listed = [line.strip(" ,").split()[-1] for line in selected.splitlines()[2:]]
    assert listed == [quoted(c.name) for c in contract.columns] + ["`_committed_us`"]


def test_a_view_leaves_out_deleted_rows_and_those_that_lack_what_the_contract_demands() -> None:
    conditions = view(ORDERS).partition("WHERE")[2]
    assert "`op` IN ('c', 'u', 'r')" in conditions
    for column in ORDERS.columns:
        demand = "<> '__debezium_unavailable_value'" if isinstance(column.type, Text) else "IS NOT NULL"
        assert (f"`after`.`{column.name}` {demand}" in conditions) is not column.nullable


def test_key_columns_stand_in_key_order_whatever_the_rows_order_is() -> None:
    sink = statements(SETTINGS, APP)[-1]
    assert sink.index("`state` STRING NOT NULL") < sink.index("`day` BIGINT NOT NULL")
    assert "PRIMARY KEY (`state`, `day`) NOT ENFORCED" in sink


def test_each_input_is_read_as_committed_under_the_apps_own_group() -> None:
    table = source_table(SETTINGS, ORDERS, names(SETTINGS, APP))
    assert "'topic' = 'shop.public.orders'" in table
    assert "'properties.group.id' = 'shop.public.counting'" in table
    assert "'properties.isolation.level' = 'read_committed'" in table


def test_no_apps_transactions_begin_like_anothers() -> None:
    """Flink aborts by prefix: an app whose name begins another's would end that one's transactions with its start."""
    longer = replace(APP, name=f"{APP.name}_too")
    for other in (names(SETTINGS, longer), names(SETTINGS, APP, "g2")):
        assert not other.transactions.startswith(names(SETTINGS, APP).transactions)


def test_a_generation_has_a_group_and_transactions_of_its_own() -> None:
    first, second = statements(SETTINGS, APP), statements(SETTINGS, APP, "g2")
    assert "'sink.transactional-id-prefix' = 'shop.public.counting:'" in first[-1]
    assert "'sink.transactional-id-prefix' = 'shop.public.counting.g2:'" in second[-1]
    assert "'properties.group.id' = 'shop.public.counting.g2'" in second[0]
    assert insert(SETTINGS, APP).startswith("INSERT INTO `topic_of_derived`")


def test_the_template_is_an_envelope_that_the_codec_reads_once_the_marks_are_filled() -> None:
    row = Derived(day=5, state="SP", total=Decimal("1.50"), lines=[Line(1, None)])
    spelt = codec(DERIVED).encoder.encode(row).decode()
    filled = template(DERIVED, "shop.public").replace('"@row@"', spelt)
    for mark, value in ((10**18, 1_500), (10**18 + 1, 1_500_000), (10**18 + 2, 1_500_000_000)):
        filled = filled.replace(str(mark), str(value))
    key = codec(DERIVED).encode_key(("SP", 5))
    change = codec(DERIVED).decode(key, filled.encode(), Position("t", 0, 0))
    assert (change.op, change.row, change.committed_us) == ("u", row, 1_500_000)


def test_no_mark_of_the_template_is_left_in_the_expression() -> None:
    value = value_of(DERIVED, "shop.public")
    assert "@row@" not in value
    assert "1000000000000000" not in value
    assert value.count("CAST(`_committed_us` / 1000 AS STRING)") == 2


def test_padded_numbers_sort_as_numbers_and_are_json_still() -> None:
    assert sortable(DERIVED.columns[0]).startswith("LPAD(")
    texts = sorted('{"number":' + str(number).rjust(20) + "}" for number in (1, 2, 10, 9, 100))
    assert [msgspec.json.decode(text)["number"] for text in texts] == [1, 2, 9, 10, 100]


def test_a_list_begins_its_rows_with_what_orders_them() -> None:
    text = json_list(Line, order_by=("name",))
    assert text.index('{"name":') < text.index(',"number":')


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.sampled_from([2, 4]))
def test_a_quotient_is_the_exact_one_with_its_half_rounded_up(dividend: int, divisor: int, scale: int) -> None:
    text = quotient("a", "b", scale).partition(" * 0.")[0]  # the whole number before it is scaled down: exact anywhere
    with sqlite3.connect(":memory:") as database:
        query = f"SELECT {text} FROM (SELECT {dividend} AS a, {divisor} AS b)"
        (found,) = database.execute(query).fetchone()
    if not divisor:
        assert found is None
        return
    exact = (Decimal(dividend) / Decimal(divisor)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    assert Decimal(found).scaleb(-scale) == exact
