"""What only the search index promises, beside the laws: it is searched, and its deleted rows leave later."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from olist.contracts import Contract
from olist.stack.local import Stack
from sinks.opensearch.mapping import alias_name, index_name
from sinks.opensearch.table import OpenSearchTable
from tests.laws.parcels import delete, neighbour, parcel, upsert, upserts
from tests.laws.targets import write


def found(url: str, query: dict[str, Any]) -> set[str]:
    requests.post(f"{url}/_refresh", timeout=30).raise_for_status()
    answer = requests.post(f"{url}/_search", json={"query": query}, timeout=30).json()
    return {hit["_id"] for hit in answer["hits"]["hits"]}


def alias_of(stack: Stack, contract: Contract) -> str:
    return f"{stack.settings.opensearch_url}/{alias_name(contract)}"


@pytest.mark.parametrize("words", ["Conceição", "conceicao", "CONCEICAO"])
def test_portuguese_is_found_with_and_without_accents(stack: Stack, index: OpenSearchTable, words: str) -> None:
    rows = [parcel("church", note="Nossa Senhora da Conceição"), parcel("other", note="conceito")]
    write(index, upserts(index.contract, rows))
    assert found(alias_of(stack, index.contract), {"match": {"note": words}}) == {"church|1"}


def test_values_are_found_by_range_place_and_state(stack: Stack, index: OpenSearchTable) -> None:
    rows = [parcel("near"), parcel("far", label="lost", latitude=10.0, sent_at=1_600_000_000_000_000)]
    write(index, upserts(index.contract, rows))
    queries: list[dict[str, Any]] = [
        {"geo_distance": {"distance": "5km", "place": {"lat": -23.5, "lon": -46.6}}},
        {"range": {"sent_at": {"lt": "2018-01-01"}}},
        {"term": {"label": "plain"}},
        {"bool": {"must": [{"range": {"price": {"gte": 10.5, "lte": 10.5}}}, {"term": {"parcel_id": "near"}}]}},
    ]
    assert [found(alias_of(stack, index.contract), query) for query in queries] == [{"near|1"}] * len(queries)


def test_an_older_change_does_not_bring_a_deleted_row_back(stack: Stack, index: OpenSearchTable) -> None:
    contract = index.contract
    held = write(index, [upsert(contract, parcel(), 5), delete(contract, ("p1", 1), 10)])
    write(index, [upsert(contract, parcel(), 7), upsert(contract, neighbour(), 11)], held)
    assert found(alias_of(stack, contract), {"match_all": {}}) == {f"{neighbour().parcel_id}|1"}


def test_deleted_rows_leave_when_the_positions_have_moved_on(stack: Stack, index: OpenSearchTable) -> None:
    contract = index.contract
    held = write(index, [delete(contract, ("p1", 1), 10), upsert(contract, neighbour(), 20)])
    everything = f"{stack.settings.opensearch_url}/{index_name(contract)}"
    assert found(everything, {"match_all": {}}) == {"p1|1", f"{neighbour().parcel_id}|1"}
    assert index.purge_deleted(held, keep=11) == 0
    assert index.purge_deleted(held, keep=10) == 1
    assert found(everything, {"match_all": {}}) == {f"{neighbour().parcel_id}|1"}
    write(index, [upsert(contract, parcel(), 21)], held)
    assert found(everything, {"term": {"parcel_id": "p1"}}) == {"p1|1"}
