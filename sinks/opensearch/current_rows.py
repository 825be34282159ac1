"""The index's rows as a search through the alias returns them: what was sent, to the letter, less what is deleted.

A point in time keeps the pages of one search together, so rows that change meanwhile are neither lost nor there twice.
Positions are another document and are read before: rows may be newer than they are.

Beside the rows: each document's id is that of its key (another one would escape the next change of the key), its geo
point is that of its columns, and nothing else is found under the alias's name or a pattern of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import polars as pl

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Contract, GeoPoint, Integer, Timestamp, Type
from olist.positions import Positions
from olist.settings import Settings
from sinks.opensearch import positions as stored
from sinks.opensearch.client import Client, Json
from sinks.opensearch.documents import ID, with_ids
from sinks.opensearch.mapping import alias_name, index_name
from sinks.readback import Defects, Reading, names
from sinks.readback_values import JSON_TIME_FORMAT, from_json

PAGE = 5_000
KEEP_ALIVE = "2m"
TRACE_TYPES: dict[str, Type] = {PARTITION: Integer(32), OFFSET: Integer(64), COMMITTED_AT: Timestamp()}


@contextmanager
def read(contract: Contract, settings: Settings) -> Iterator[Reading | None]:
    """Rows and positions; None when there is no such index.

    Raises:
        ServerTrouble: the server does not answer.
        Stopped: a value that is none of the contract's type.
    """
    with closing(Client(settings)) as client:
        uuid = _uuid(client, contract)
        if uuid is None:
            yield None
            return
        before = stored.read(client, contract.table, uuid).positions
        client.ask("POST", f"/{index_name(contract)}/_refresh")  # searches see what was written up to here
        defects = Defects()
        _find_others(client, contract, defects)
        yield Reading(
            before,
            _chunks(client, contract, defects),
            snapshot=False,
            positions_now=lambda: stored.read(client, contract.table, uuid).positions,
            defects=defects,
        )


def positions(contract: Contract, settings: Settings) -> Positions | None:
    """The table's positions; None when it has none.

    Raises:
        ServerTrouble: the server does not answer.
    """
    with closing(Client(settings)) as client:
        uuid = _uuid(client, contract)
        return None if uuid is None else stored.read(client, contract.table, uuid).positions


def _uuid(client: Client, contract: Contract) -> str | None:
    index = index_name(contract)
    found = client.ask_unless((404,), "GET", f"/{index}/_settings")
    return None if found is None else stored.identity(found[index]["settings"])


def _find_others(client: Client, contract: Contract, defects: Defects) -> None:
    """Indices beside the table's own that its alias, or a pattern of its name, finds."""
    ours, alias = index_name(contract), alias_name(contract)
    for index in sorted(client.ask("GET", f"/{alias},{alias}-*/_alias", ignore_unavailable="true").keys() - {ours}):
        defects.add("index", f"index {index} is found by {alias} or {alias}-*, and is not the table's ({ours})")
    own = client.ask("GET", f"/{ours}/_alias")[ours]["aliases"]
    if "filter" not in own.get(alias, {}):
        defects.add("index", f"the alias {alias} does not hide the deleted documents of {ours}")


def _chunks(client: Client, contract: Contract, defects: Defects) -> Iterator[pl.DataFrame]:
    for hits in _pages(client, contract):
        documents = [hit["_source"] for hit in hits]
        rows = _typed(contract, documents)
        _check_ids(contract, rows, [hit["_id"] for hit in hits], defects)
        if contract.geo:
            _check_points(contract.geo, rows, [one.get(contract.geo.name) for one in documents], defects)
        yield rows


def _pages(client: Client, contract: Contract) -> Iterator[list[Json]]:
    """Every document behind the alias; at least one page, be it empty."""
    alias = alias_name(contract)
    opened = client.ask("POST", f"/{alias}/_search/point_in_time", keep_alive=KEEP_ALIVE)
    query: Json = {
        "size": PAGE,
        "_source": [*names(contract), *([contract.geo.name] if contract.geo else [])],
        "track_total_hits": False,
        "sort": [{"_shard_doc": "asc"}],
    }
    try:
        while True:
            query["pit"] = {"id": opened["pit_id"], "keep_alive": KEEP_ALIVE}
            hits = client.ask("POST", "/_search", query)["hits"]["hits"]
            yield hits
            if len(hits) < PAGE:
                return
            query["search_after"] = hits[-1]["sort"]
    finally:
        client.ask("DELETE", "/_search/point_in_time", {"pit_id": [opened["pit_id"]]})


def _typed(contract: Contract, documents: list[Json]) -> pl.DataFrame:
    kinds: dict[str, Type] = {column.name: column.type for column in contract.columns} | TRACE_TYPES
    where = f"opensearch {alias_name(contract)}"
    return pl.DataFrame(
        [from_json(where, n, kinds[n], [one.get(n) for one in documents], JSON_TIME_FORMAT) for n in names(contract)]
    )


def _check_ids(contract: Contract, rows: pl.DataFrame, ids: list[str], defects: Defects) -> None:
    there = pl.Series("_there", ids, dtype=pl.String)
    wrong = with_ids(contract, rows).select(ID, there).filter(pl.col(ID) != pl.col("_there"))
    for wanted, found in wrong.iter_rows():
        defects.add("id", f"the document {found!r} holds the row of {wanted!r}")


def _check_points(geo: GeoPoint, rows: pl.DataFrame, points: list[Json | None], defects: Defects) -> None:
    columns = zip(rows[geo.latitude].to_list(), rows[geo.longitude].to_list(), points, strict=True)
    for latitude, longitude, point in columns:
        wanted = None if latitude is None or longitude is None else {"lat": latitude, "lon": longitude}
        if point != wanted:
            defects.add("geo", f"the point {geo.name} is {point}, its columns say {wanted}")
