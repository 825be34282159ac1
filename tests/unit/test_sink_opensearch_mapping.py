"""The index's mapping and `_meta`, as pure functions of contracts."""

from __future__ import annotations

from typing import Annotated

import pytest

from olist.contracts import Column, Contract, Float, Integer, ListOf, Money, Row, Str, Text, Timestamp, Type
from olist.errors import ContractRefused
from olist.tables import TABLES
from sinks.opensearch.mapping import decoded, deviations, encoded, field, index_body, index_name, mapping, takes
from tests.laws.parcels import PARCELS


@pytest.mark.parametrize("contract", [PARCELS, *TABLES.values()], ids=lambda contract: contract.table)
def test_a_contract_is_read_back_from_meta(contract: Contract) -> None:
    assert decoded("here", encoded(contract)) == (contract.key, contract.columns)


@pytest.mark.parametrize(
    "meta", [{}, {"key": [], "columns": [["a", "text"]]}, {"key": [], "columns": [["a", "x", True]]}]
)
def test_an_index_of_another_make_is_refused(meta: dict[str, object]) -> None:
    with pytest.raises(ContractRefused, match="another make"):
        decoded("here", meta)


@pytest.mark.parametrize(
    ("kind", "mapped"),
    [
        (Text(), "keyword"),
        (Text("pt"), "text"),
        (Integer(32), "long"),
        (Integer(64), "long"),
        (Float(), "double"),
        (Money(12, 2), "scaled_float"),
        (Timestamp(), "date"),
    ],
)
def test_every_type_is_mapped(kind: Type, mapped: str) -> None:
    assert field(Column("it", kind, nullable=True))["type"] == mapped


def test_a_widened_number_keeps_its_mapping() -> None:
    for old, new in ((Integer(32), Integer(64)), (Money(12, 2), Money(18, 2))):
        assert field(Column("it", old, nullable=True)) == field(Column("it", new, nullable=True))


LINES = ListOf((Column("what", Text(), False), Column("paid", Money(12, 2), True)))


def test_a_list_is_an_object_with_the_fields_of_its_rows() -> None:
    column = Column("lines", LINES, nullable=False)
    assert field(column) == {"type": "object", "properties": {c.name: field(c) for c in LINES.columns}}


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        ((*LINES.columns, Column("n", Integer(), True)), True),
        ((LINES.columns[0], Column("paid", Money(18, 2), True)), True),
        ((Column("what", Text("pt"), False), LINES.columns[1]), False),
        ((LINES.columns[0], Column("paid", Float(), True)), False),
    ],
)
def test_an_index_takes_more_fields_in_a_list_and_maps_none_anew(columns: tuple[Column, ...], taken: bool) -> None:
    assert takes(Column("lines", LINES, False), Column("lines", ListOf(columns), False)) is taken


def test_a_language_without_an_analyser_is_refused() -> None:
    class Saga(Row):
        title: Annotated[str, Text("is")]

    with pytest.raises(ContractRefused, match="column title: no analyser for the language 'is'"):
        mapping(Contract("sagas", Saga, key=("title",)))


def test_an_unknown_field_of_a_document_is_refused() -> None:
    assert mapping(PARCELS)["dynamic"] == "strict"


def test_a_geo_point_stands_beside_its_columns() -> None:
    fields = mapping(PARCELS)["properties"]
    assert fields["place"] == {"type": "geo_point"}
    assert fields["latitude"] == {"type": "double"}


def test_an_index_is_hidden_and_its_alias_hides_the_deleted() -> None:
    made = index_body(PARCELS)
    assert index_name(PARCELS) == "olist-parcels-v1"
    assert made["settings"]["index"]["hidden"] is True
    assert made["aliases"] == {
        "olist-parcels": {"filter": {"term": {"_deleted": False}}},
        "olist-parcels-v1-write": {"is_hidden": True, "is_write_index": True},
    }


def test_what_came_out_may_hold_more_than_was_asked_for_but_nothing_else() -> None:
    wanted = {"settings": {"shards": 1, "hidden": True}, "fields": {"items": {"type": "object", "properties": {}}}}
    assert (
        deviations(wanted, {"settings": {"shards": "1", "hidden": "true", "uuid": "u"}, "fields": {"items": {}}}) == []
    )
    assert deviations(wanted, {"settings": {"shards": "2", "hidden": "true"}}) == ["settings.shards is '2', not 1"]


def test_a_contract_without_a_point_has_none() -> None:
    class Plain(Row):
        name: Str

    types = [field["type"] for field in mapping(Contract("plain", Plain, key=("name",)))["properties"].values()]
    assert types == ["keyword", "boolean", "integer", "long", "date"]
