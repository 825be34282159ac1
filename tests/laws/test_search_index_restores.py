"""The search index in other hands: deleted, restored, closed, its aliases moved, templates of others, auto-creation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from olist.errors import PositionRefused, Stopped, TargetRewound
from olist.positions import Positions
from olist.stack.local import Stack
from sinks.opensearch import positions
from sinks.opensearch.mapping import alias_name, index_name, write_alias_name
from sinks.opensearch.table import OpenSearchTable
from tests.laws.parcels import delete, fresh, neighbour, parcel, upserts
from tests.laws.targets import refusals, write

ROWS = [parcel(f"p{n}") for n in range(12)]
Json = dict[str, Any]


@pytest.fixture
def ask(stack: Stack) -> Callable[..., Json]:
    """Another user's requests."""

    def asked(method: str, path: str, body: Json | None = None) -> Json:
        answer = requests.request(method, f"{stack.settings.opensearch_url}/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        found: Json = answer.json()
        return found

    return asked


@pytest.fixture
def auto_creation(ask: Callable[..., Json]) -> Iterator[None]:
    """A server as OpenSearch comes: a write to an index that is not there makes it."""
    ask("PUT", "_cluster/settings", {"persistent": {"action.auto_create_index": "true"}})
    yield
    ask("PUT", "_cluster/settings", {"persistent": {"action.auto_create_index": None}})


def written(index: OpenSearchTable) -> Positions:
    held = write(index, upserts(index.contract, ROWS))
    return write(index, [delete(index.contract, ("p1", 1), 20)], held)


def exists(stack: Stack, name: str) -> bool:
    return requests.head(f"{stack.settings.opensearch_url}/{name}", timeout=30).ok


@pytest.mark.usefixtures("auto_creation")
def test_no_write_makes_an_index_where_the_server_would(
    stack: Stack, index: OpenSearchTable, ask: Callable[..., Json]
) -> None:
    held = written(index)
    name = index_name(index.contract)
    ask("DELETE", name)
    with pytest.raises(TargetRewound, match="the index is gone"):
        write(index, upserts(index.contract, [neighbour()], 30), held)
    assert not exists(stack, name)
    assert not exists(stack, write_alias_name(index.contract))
    assert index.open() is None
    assert ask("GET", name)[name]["mappings"]["dynamic"] == "strict"


@pytest.mark.usefixtures("auto_creation")
def test_the_index_of_the_positions_is_made_again_and_never_by_a_write(
    stack: Stack, index: OpenSearchTable, ask: Callable[..., Json]
) -> None:
    held = written(index)
    ask("DELETE", positions.INDEX)
    with pytest.raises(TargetRewound):
        write(index, upserts(index.contract, [neighbour()], 30), held)
    assert not exists(stack, positions.INDEX)
    assert index.open() is None
    assert written(index) == held


def test_an_index_that_others_made_and_filled_is_refused(index: OpenSearchTable, ask: Callable[..., Json]) -> None:
    """A restored index is such a one: it has another identity than the positions name."""
    written(index)
    name = index_name(index.contract)
    made = ask("GET", name)[name]["mappings"]
    ask("DELETE", name)
    ask("PUT", name, {"mappings": made})
    ask("PUT", f"{name}/_doc/p1?refresh=true", {"parcel_id": "p1"})
    with pytest.raises(PositionRefused, match="restored") as refused:
        index.open()
    assert f"olist sink rebuild opensearch --tables {index.contract.table}" in refused.value.hint


def test_an_index_restored_over_itself_is_another() -> None:
    """OpenSearch keeps the uuid of a closed index that a snapshot is restored into, and gives it a history."""
    before = {"index": {"uuid": "u"}}
    assert positions.identity(before) == "u"
    assert positions.identity({"index": {"uuid": "u", "history": {"uuid": "h"}}}) != positions.identity(before)


@pytest.mark.parametrize(
    ("undo", "block"),
    [("_open", "_close"), ("", "index.blocks.write"), ("", "index.blocks.read_only")],
    ids=["closed", "write-blocked", "read-only"],
)
def test_an_index_that_takes_no_documents_makes_no_dead_letters(
    index: OpenSearchTable, ask: Callable[..., Json], undo: str, block: str
) -> None:
    held = written(index)
    name = index_name(index.contract)
    if undo:
        ask("POST", f"{name}/{block}")
    else:
        ask("PUT", f"{name}/_settings", {block: True})
    with pytest.raises(Stopped, match=name) as stopped:
        refusals(index, upserts(index.contract, [neighbour()], 30))
    assert stopped.value.hint
    if undo:
        ask("POST", f"{name}/{undo}")
    else:
        ask("PUT", f"{name}/_settings", {block: None})
    assert index.open() == held
    write(index, upserts(index.contract, [neighbour()], 30), held)


@pytest.mark.parametrize("which", [alias_name, write_alias_name], ids=["the readers'", "the writers'"])
def test_an_alias_that_somebody_removed_is_put_back(
    index: OpenSearchTable, ask: Callable[..., Json], which: Callable[..., str]
) -> None:
    held = written(index)
    name, alias = index_name(index.contract), which(index.contract)
    there = ask("GET", f"_alias/{alias}")
    ask("DELETE", f"{name}/_alias/{alias}")
    if which is write_alias_name:
        with pytest.raises(TargetRewound):
            write(index, upserts(index.contract, [neighbour()], 30), held)
    assert index.open() == held
    assert ask("GET", f"_alias/{alias}") == there
    write(index, upserts(index.contract, [neighbour()], 30), held)


def test_an_alias_that_somebody_gave_to_another_index_is_left_there(
    index: OpenSearchTable, ask: Callable[..., Json]
) -> None:
    held = written(index)
    name, alias = index_name(index.contract), alias_name(index.contract)
    ask("PUT", f"{name}-own")
    move = [{"remove": {"index": name, "alias": alias}}, {"add": {"index": f"{name}-own", "alias": alias}}]
    ask("POST", "_aliases", {"actions": move})
    assert index.open() == held
    write(index, upserts(index.contract, [neighbour()], 30), held)
    assert list(ask("GET", f"_alias/{alias}")) == [f"{name}-own"]
    ask("DELETE", f"{name}-own")


def test_deleted_rows_are_not_found_by_a_wildcard(index: OpenSearchTable, ask: Callable[..., Json]) -> None:
    written(index)
    pattern = f"{alias_name(index.contract)}*"
    assert ask("GET", f"{pattern}/_search")["hits"]["total"]["value"] == len(ROWS) - 1
    assert ask("GET", f"{index_name(index.contract)}/_search")["hits"]["total"]["value"] == len(ROWS)


def test_an_index_of_an_older_version_is_hidden_and_written_by_its_alias(
    index: OpenSearchTable, ask: Callable[..., Json]
) -> None:
    held = written(index)
    name = index_name(index.contract)
    ask("DELETE", f"{name}/_alias/{write_alias_name(index.contract)}")
    ask("PUT", f"{name}/_settings", {"index.hidden": False})
    ask("DELETE", f"{positions.INDEX}/_alias/{positions.WRITE_ALIAS}")
    assert index.open() == held
    write(index, upserts(index.contract, [neighbour()], 30), held)
    assert ask("GET", name)[name]["settings"]["index"]["hidden"] == "true"


@pytest.fixture
def foreign(index: OpenSearchTable, ask: Callable[..., Json]) -> Iterator[None]:
    """Somebody's template for every index of ours, of a higher priority than any that we ever had."""
    pattern = f"{alias_name(index.contract)}*"
    fields = {"label": {"type": "text"}, "other": {"type": "keyword"}}
    settings = {"index": {"default_pipeline": "theirs", "number_of_shards": 3, "refresh_interval": "1h"}}
    made = {"settings": settings, "mappings": {"dynamic": True, "_meta": {}, "properties": fields}}
    ask("PUT", "_index_template/foreign", {"index_patterns": [pattern], "priority": 500, "template": made})
    yield
    ask("DELETE", "_index_template/foreign")


@pytest.mark.usefixtures("foreign")
def test_a_template_of_others_decides_nothing(index: OpenSearchTable, ask: Callable[..., Json]) -> None:
    name = index_name(index.contract)
    ask("DELETE", name)
    assert index.open() is None
    written(index)
    there = ask("GET", name)[name]
    assert there["mappings"]["properties"]["label"]["type"] == "keyword"
    assert there["settings"]["index"]["number_of_shards"] == "1"


def test_an_index_that_the_server_refuses_to_make_is_said_in_its_words(stack: Stack, ask: Callable[..., Json]) -> None:
    ask("PUT", "_cluster/settings", {"persistent": {"cluster.max_shards_per_node": 1}})
    other = OpenSearchTable(fresh(), stack.settings)
    with pytest.raises(Stopped, match=r"maximum .*shards open") as stopped:
        other.open()
    assert "cluster.max_shards_per_node" in stopped.value.hint
    ask("PUT", "_cluster/settings", {"persistent": {"cluster.max_shards_per_node": None}})
    other.drop()
    other.close()
