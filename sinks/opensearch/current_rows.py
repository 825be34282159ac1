"""The index's rows as a search through the alias returns them: what was sent, to the letter, less what is deleted.

A point in time keeps the pages of one search together, so rows that change meanwhile are neither lost nor there twice.
Positions are another document and are read before and after: where they differ, the rows belong to neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import polars as pl

from olist.batches import COMMITTED_AT, OFFSET, PARTITION
from olist.contracts import Contract, Integer, Timestamp, Type
from olist.positions import Positions
from olist.settings import Settings
from sinks.check.held import Held, names
from sinks.check.typed import JSON_TIME_FORMAT, from_json
from sinks.opensearch import positions as stored
from sinks.opensearch.client import Client, Json
from sinks.opensearch.mapping import alias_name, index_name

PAGE = 5_000
KEEP_ALIVE = "2m"
TRACE_TYPES: dict[str, Type] = {PARTITION: Integer(32), OFFSET: Integer(64), COMMITTED_AT: Timestamp()}


def read(contract: Contract, settings: Settings) -> Held | None:
    """Rows and positions; None when there is no such index.

    Raises:
        ServerTrouble: the server does not answer.
        Stopped: a value that is none of the contract's type.
    """
    with closing(Client(settings.opensearch_url)) as client:
        uuid = _uuid(client, contract)
        if uuid is None:
            return None
        before = stored.read(client, contract.table, uuid).positions
        client.ask("POST", f"/{index_name(contract)}/_refresh")  # searches see what was written up to here
        rows = _typed(contract, list(_documents(client, contract)))
        after = stored.read(client, contract.table, uuid).positions
    return Held(rows, after, snapshot=False, moved=before != after)


def positions(contract: Contract, settings: Settings) -> Positions | None:
    """The table's positions; None when it has none.

    Raises:
        ServerTrouble: the server does not answer.
    """
    with closing(Client(settings.opensearch_url)) as client:
        uuid = _uuid(client, contract)
        return None if uuid is None else stored.read(client, contract.table, uuid).positions


def _uuid(client: Client, contract: Contract) -> str | None:
    index = index_name(contract)
    found = client.ask_unless((404,), "GET", f"/{index}/_settings")
    return None if found is None else str(found[index]["settings"]["index"]["uuid"])


def _documents(client: Client, contract: Contract) -> Iterator[Json]:
    """Every document behind the alias, by pages."""
    alias = alias_name(contract)
    opened = client.ask("POST", f"/{alias}/_search/point_in_time", keep_alive=KEEP_ALIVE)
    query: Json = {
        "size": PAGE,
        "_source": names(contract),
        "track_total_hits": False,
        "sort": [{"_shard_doc": "asc"}],
    }
    try:
        while True:
            query["pit"] = {"id": opened["pit_id"], "keep_alive": KEEP_ALIVE}
            hits = client.ask("POST", "/_search", query)["hits"]["hits"]
            yield from (hit["_source"] for hit in hits)
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
