"""Remove the documents of rows that were deleted long ago.

A deleted row's document guards its key against older changes that come late. `keep` says for how long: it goes once
the next offset of its partition lies more than `keep` above its own. It must not go sooner: OpenSearch's own tombstone
takes the version after the document's, which could be that of the key's next change.
"""

from __future__ import annotations

from typing import Any

from olist.batches import OFFSET, PARTITION
from olist.contracts import Contract
from olist.errors import BadInput
from olist.positions import Positions
from sinks.opensearch.client import Client
from sinks.opensearch.mapping import DELETED, index_name


def purge(client: Client, contract: Contract, held: Positions, keep: int = 1_000_000) -> int:
    """Remove what is more than `keep` offsets below the positions; return how many documents went.

    Raises:
        BadInput: `keep` is below 1.
    """
    if keep < 1:
        raise BadInput(f"keep is {keep}; at least 1 offset must lie between a purged delete and the position")
    query = {"bool": {"filter": [{"term": {DELETED: True}}], "should": _old(held, keep), "minimum_should_match": 1}}
    path = f"/{index_name(contract)}/_delete_by_query"
    return int(client.ask("POST", path, {"query": query}, conflicts="proceed", refresh="true")["deleted"])


def _old(held: Positions, keep: int) -> list[dict[str, Any]]:
    return [
        {"bool": {"filter": [{"term": {PARTITION: partition}}, {"range": {OFFSET: {"lt": next_offset - keep}}}]}}
        for partition, next_offset in held.next.items()
    ]
