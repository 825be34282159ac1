"""Positions in OpenSearch: one document per table, moved by compare-and-set on its sequence number.

The document names the index whose rows it speaks of by the index's own uuid: positions that outlived their index (a
drop that was cut short, an index deleted by hand) are nobody's, and the topic is read from its beginning.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from olist.errors import Fenced, ServerTrouble
from olist.positions import Positions
from sinks.opensearch.client import SERVER, Client, Json

INDEX = "olist-sink-positions"
ATTEMPTS = 30  # two processes that own different partitions meet at one document; each loss is another's progress


class Held(NamedTuple):
    """Positions as they stand, and what a compare-and-set must name to replace their document."""

    positions: Positions | None
    condition: Json


def create_index(client: Client) -> None:
    """Make the index of the positions where it is missing."""
    body = {
        "settings": {"index": {"number_of_shards": 1, "auto_expand_replicas": "0-1"}},
        "mappings": {"dynamic": False},
    }
    if client.ask_unless((404,), "GET", f"/{INDEX}/_settings") is None:
        client.ask_unless((400,), "PUT", f"/{INDEX}", body)  # 400: another process was faster


def read(client: Client, table: str, index_uuid: str) -> Held:
    """The positions of the table's index, read from the primary and never from a stale searcher."""
    found = client.ask_unless((404,), "GET", f"/{INDEX}/_doc/{table}", realtime="true")
    if found is None:
        return Held(None, {"op_type": "create"})
    condition = {"if_seq_no": found["_seq_no"], "if_primary_term": found["_primary_term"]}
    document = found["_source"]
    if document["index"] != index_uuid:
        return Held(None, condition)
    return Held(msgspec.convert(document["positions"], Positions, str_keys=True), condition)


def move(client: Client, table: str, index_uuid: str, to: dict[int, int], held: Positions) -> Positions:
    """Move some partitions' next offsets from where this process started; return all positions as they now stand.

    Raises:
        Fenced: they stand elsewhere, or speak of another topic.
        ServerTrouble: no answer; whether they moved is for the next `read` to find out.
    """
    where = f"{SERVER} {table}"
    for _ in range(ATTEMPTS):
        there, condition = read(client, table, index_uuid)
        there = there or Positions(held.topic, held.topic_id, dict.fromkeys(held.next, 0))
        if there.topic_id != held.topic_id:
            raise Fenced(
                f"{where}: another process has rebuilt it from topic id {there.topic_id}; "
                f"this one read {held.topic_id}",
                hint="restart this process",
            )
        there.expect(where, held.of(to))
        moved = there.advanced(to)
        document = {"index": index_uuid, "positions": msgspec.to_builtins(moved, str_keys=True)}
        if client.ask_unless((409,), "PUT", f"/{INDEX}/_doc/{table}", document, **condition) is not None:
            return moved
    raise ServerTrouble(SERVER, f"{table}: its positions were moved by others {ATTEMPTS} times in a row")


def forget(client: Client, table: str) -> None:
    """Remove the table's positions."""
    client.ask_unless((404,), "DELETE", f"/{INDEX}/_doc/{table}")
